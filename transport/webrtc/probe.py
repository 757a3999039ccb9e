"""What `doctor` asks about WebRTC: do the codecs work, and can peers reach this machine.

Really encodes, binds, asks and allocates, each within three seconds, and leaves nothing behind. Never serves a peer.
`codec_faults` blocks; the rest runs on an event loop of its own.
"""

import asyncio
import errno
import socket

import av
import msgspec
import numpy as np
from aioice import Connection
from aioice.ice import StunProtocol, server_reflexive_candidate
from aioice.stun import TransactionError

from liveglass.engine.errors import MalformedPicture
from liveglass.engine.frame import Size
from liveglass.transport.webrtc.assembler import EncodedPicture
from liveglass.transport.webrtc.decoding import CameraDecoder
from liveglass.transport.webrtc.encoding import Rendition, VideoCodec, VideoEncoder
from liveglass.transport.webrtc.gatherer import allocate, told
from liveglass.transport.webrtc.hosts import bound_socket, host_candidate, local_addresses
from liveglass.transport.webrtc.ice import IceServer, IceSettings, IceUrl, parse_url

BUDGET_S = 3.0
_WAYS = {VideoCodec.H264: "libx264 to h264", VideoCodec.VP8: "libvpx to vp8"}
_SIZE = Size(64, 64)
_GREY = 128


class Bound(msgspec.Struct, frozen=True):
    """An address that peers would be received on; `fault` if it cannot be bound, `full` if for want of a port."""

    address: str
    fault: str = ""
    full: bool = False


class Answer(msgspec.Struct, frozen=True):
    """What one STUN or TURN server said.

    Attributes:
        address: under which it saw this machine (STUN), or the address that it relays at (TURN).
        fault: why there is none, for people.
        refused: it answered, and did not accept the credentials.
    """

    url: str
    address: str = ""
    fault: str = ""
    refused: bool = False


class IceFacts(msgspec.Struct, frozen=True):
    """What was found on the way of WebRTC."""

    bound: tuple[Bound, ...] = ()
    stun: tuple[Answer, ...] = ()
    turn: tuple[Answer, ...] = ()


def codec_faults() -> list[str]:
    """What is wrong with WebRTC's video codecs, found by a picture through each encoder and decoder; blocking."""
    faults = []
    for codec, way in _WAYS.items():
        try:
            level = _through(codec)
        except (av.FFmpegError, MalformedPicture, ValueError) as fault:
            faults.append(f"{way}: {str(fault) or type(fault).__name__}")
        else:
            if abs(level - _GREY) > 4:
                faults.append(f"{way}: grey {_GREY} came back as {level:.0f}")
    return faults


async def probe_ice(settings: IceSettings, servers: tuple[IceServer, ...]) -> IceFacts:
    """Bind each address, ask the STUN server, take and give back an allocation at each relay; never raises for them."""
    urls = [(parse_url(url), server) for server in servers for url in server.urls]
    addresses = [] if settings.policy == "relay" else local_addresses(settings.bind)
    async with asyncio.TaskGroup() as group:
        stun = [group.create_task(_ask(url)) for url, _ in urls if url.scheme == "stun"]
        turn = [group.create_task(_allocated(url, server)) for url, server in urls if url.scheme != "stun"]
    return IceFacts(
        bound=tuple(_bound(address, settings.ports) for address in addresses),
        stun=tuple(task.result() for task in stun),
        turn=tuple(task.result() for task in turn),
    )


def _through(codec: VideoCodec) -> float:
    """The mean level of a grey picture, 64×64, through a session's encoder and decoder; 0 if none came out."""
    grey = np.full(_SIZE.shape, _GREY, np.uint8)
    encoded = VideoEncoder(codec, Rendition.MAIN, _SIZE, 24).encode(grey, 0, keyframe=True)
    picture = CameraDecoder(_SIZE, "cover").decode(codec, [EncodedPicture(encoded.data, 0, 0.0)])
    return 0.0 if picture is None else float(picture.pixels.mean())


def _bound(address: str, ports: tuple[int, int] | None) -> Bound:
    try:
        bound_socket(address, ports).close()
    except OSError as fault:
        return Bound(address, fault=fault.strerror or str(fault), full=fault.errno == errno.EADDRINUSE)
    return Bound(address)


async def _ask(url: IceUrl) -> Answer:
    """What a STUN server says from the interface that leads there."""
    receiver = Connection(ice_controlling=False)
    transport = None
    try:
        async with asyncio.timeout(BUDGET_S):
            local = await _leading_to(url)
            loop = asyncio.get_running_loop()
            transport, protocol = await loop.create_datagram_endpoint(
                lambda: StunProtocol(receiver), sock=bound_socket(local, None)
            )
            host, port = transport.get_extra_info("sockname")[:2]
            protocol.local_candidate = host_candidate(host, host, port, 0)
            candidate, _ = await server_reflexive_candidate(protocol, (url.host, url.port))
    except TimeoutError:
        return Answer(str(url), fault="no answer")
    except (OSError, TransactionError, KeyError) as fault:
        return Answer(str(url), fault=told(fault))
    finally:
        if transport is not None:
            transport.close()
    return Answer(str(url), address=candidate.host)


async def _leading_to(url: IceUrl) -> str:
    """The local IPv4 address of packets that go there; nothing is sent."""
    found = await asyncio.get_running_loop().getaddrinfo(
        url.host, url.port, family=socket.AF_INET, type=socket.SOCK_DGRAM
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(found[0][4])
        return str(probe.getsockname()[0])


async def _allocated(url: IceUrl, server: IceServer) -> Answer:
    receiver = Connection(ice_controlling=False)
    try:
        async with asyncio.timeout(BUDGET_S):
            candidate, protocol = await allocate(url, server, receiver, hide_related_address=False)
            await protocol.close()
    except TimeoutError:
        return Answer(str(url), fault="no answer")
    except TransactionError as fault:
        code = fault.response.error_code if fault.response is not None else None
        return Answer(str(url), fault=told(fault), refused=code in {401, 403, 441})
    except OSError as fault:
        return Answer(str(url), fault=told(fault))
    return Answer(str(url), address=candidate.host)
