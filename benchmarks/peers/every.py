"""The peers, in the order of the table."""

from benchmarks.peers import apscheduler, dramatiq, honker, huey, litequeue, ours, persist_queue, rq
from benchmarks.peers.peer import Peer

OURS = ours.PEER
PEERS: tuple[Peer, ...] = (
    honker.PEER,
    huey.PEER,
    litequeue.PEER,
    persist_queue.PEER,
    apscheduler.PEER,
    dramatiq.PEER,
    rq.PEER,
)


def named(name: str) -> Peer:
    """Give the peer, or liteq itself."""
    return next(peer for peer in (OURS, *PEERS) if peer.name == name)
