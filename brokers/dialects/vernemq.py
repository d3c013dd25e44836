"""VerneMQ with its webhooks plugin."""

from brokers.models import Broker

HOOKS = ("auth_on_register", "auth_on_publish", "auth_on_subscribe")


def configuration(broker: Broker, url: str) -> str:
    """Return the lines for vernemq.conf, listeners aside."""
    target = f"{url}/api/brokers/{broker.pk}/hook?secret={broker.secret}"
    hooks = "".join(
        f"vmq_webhooks.{hook}.hook = {hook}\nvmq_webhooks.{hook}.endpoint = {target}\n"
        for name in HOOKS
        for hook in (name, f"{name}_m5")
    )
    return f"""\
# {broker.name}: Firstlight decides who may connect. Put this into a file that only VerneMQ can read.
allow_anonymous = off
plugins.vmq_passwd = off
plugins.vmq_acl = off
plugins.vmq_webhooks = on
{hooks}"""
