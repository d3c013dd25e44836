"""The CoAP server as a process: serves until a signal, then finishes the requests in flight."""

import asyncio
import logging
import signal

from core.log_throttle import OncePerMinute
from operations.choices import Process
from operations.heartbeat import Beating
from provisioning.group_commit import group_commit
from transports.coap.endpoint import LOGGER, listen
from transports.coap.site import Site
from transports.database_threads import DatabaseThreads

log = logging.getLogger(__name__)

# Requests in flight get this long when the server stops.
FINISH_S = 5.0


def run(host: str, port: int) -> None:
    """Serve on `host`:`port` until SIGTERM or SIGINT. Raises PortTaken, and OSError where it cannot listen there."""
    logging.getLogger(LOGGER).addFilter(OncePerMinute())
    beating = Beating(Process.COAP)
    threads = DatabaseThreads()
    try:
        asyncio.run(_serve(host, port, Site(threads), beating))
    finally:
        beating.stop()
        threads.close()
        group_commit.close()


async def _serve(host: str, port: int, site: Site, beating: Beating) -> None:
    told_to_stop = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, told_to_stop.set)
    endpoint = await listen(site, host, port)
    site.news.start()
    beating.start()
    beating.report(ready=True, note=f"listening on {host}, port {port}")
    log.info("CoAP server is listening on %s, port %s", host, port)
    await told_to_stop.wait()
    log.info("CoAP server is stopping")
    endpoint.datagrams.taking = False
    await site.finish(FINISH_S)
    await site.news.stop()
    await endpoint.shutdown()
