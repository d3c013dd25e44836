"""On which topic a request may arrive and on which its reply goes (docs/protocol.md, *MQTT*)."""

import re
from dataclasses import dataclass, field

from transports.mqtt.topics import PerClientTopic, is_client_id

# MQTT 5.0 section 4.7.3: a topic has at most 65,535 bytes.
MAX_TOPIC_BYTES = 65_535


@dataclass(frozen=True, slots=True)
class Topics:
    """The bridge's two topics, from templates with `{client_id}`. Raises ValueError if a template is not usable."""

    request: str
    response: str
    _request: PerClientTopic = field(init=False, repr=False, compare=False)
    _response: PerClientTopic = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_request", PerClientTopic.of(self.request))
        object.__setattr__(self, "_response", PerClientTopic.of(self.response))

    @property
    def requests(self) -> str:
        """The topic filter for the requests of all clients."""
        return self._request.topic_filter

    @property
    def shared_request(self) -> str:
        """The topic of unmodified firmware on a broker that does not keep replies apart; "" if the template has none."""
        return self._request.shared

    @property
    def request_filters(self) -> tuple[str, ...]:
        """The topic filters to serve: the requests of all clients, and the shared topic if there is one."""
        return (self.requests, self.shared_request) if self.shared_request else (self.requests,)

    @property
    def shared_response(self) -> str:
        """The topic on which that firmware waits for its reply."""
        return self._response.shared

    def client_of(self, topic: str) -> str:
        """Return the id of the client whose request arrived on `topic`; "" if there is none that can be a topic level."""
        client_id = self._request.client_id(topic)
        return client_id if is_client_id(client_id) else ""

    def own_response(self, client_id: str) -> str:
        """Return the response topic of a client; "" if it would be too long."""
        topic = self._response.topic(client_id)
        return topic if len(topic.encode()) <= MAX_TOPIC_BYTES else ""

    def chosen_response(self, wish: str, client_id: str) -> str:
        """Return the MQTT 5 Response Topic `wish` if the sender may have its answer there, else "".

        It must be the client's own response topic or below it: the bridge may publish where devices may not, and no
        client may make it send another device a failure, or credentials that the sender knows. So on the shared request
        topic, where the bridge does not know the client, it is ignored.
        """
        own = self.own_response(client_id) if client_id else ""
        if not own or re.search(r"[+#\0]", wish):
            return ""
        return wish if wish == own or wish.startswith(f"{own}/") else ""
