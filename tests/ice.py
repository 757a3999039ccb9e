"""Two ends of ICE in one process, for tests."""

import asyncio

from aiortc import RTCIceTransport

from liveglass.transport.webrtc.gatherer import Gatherer


async def meet(left: Gatherer, right: Gatherer, message: bytes) -> None:
    """Connect two that have gathered, and see that `message` gets from the one to the other."""
    one, other = RTCIceTransport(left), RTCIceTransport(right)
    one._connection.ice_controlling = True
    for transport, far in ((one, right), (other, left)):
        for candidate in far.getLocalCandidates():
            await transport.addRemoteCandidate(candidate)
        await transport.addRemoteCandidate(None)
    await asyncio.gather(one.start(right.getLocalParameters()), other.start(left.getLocalParameters()))
    assert (one.state, other.state) == ("completed", "completed")
    await one._send(message)
    assert await other._recv() == message
    await asyncio.gather(one.stop(), other.stop())
