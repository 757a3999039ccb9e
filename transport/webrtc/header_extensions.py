"""RTP header extensions (RFC 8285) as aiortc reads them, and the colour space, which it does not know. Event loop."""

from dataclasses import dataclass

from aiortc.rtcrtpparameters import RTCRtpParameters
from aiortc.rtp import HeaderExtensions, HeaderExtensionsMap, unpack_header_extensions

from liveglass.transport.webrtc.color_space import COLOR_SPACE, ColorSpace


@dataclass
class PictureExtensions(HeaderExtensions):
    """The header extensions of one packet.

    Attributes:
        color_space: of the picture that the packet ends; None where the sender did not say it with this packet.
    """

    color_space: ColorSpace | None = None


class PictureExtensionsMap(HeaderExtensionsMap):
    """Reads the extensions by the ids that were agreed on."""

    def __init__(self) -> None:
        super().__init__()
        self._color_space_id: int | None = None

    def configure(self, parameters: RTCRtpParameters) -> None:
        """Learn the ids; called for each half of the line."""
        super().configure(parameters)
        ids = [extension.id for extension in parameters.headerExtensions if extension.uri == COLOR_SPACE]
        self._color_space_id = ids[0] if ids else self._color_space_id

    def get(self, extension_profile: int, extension_value: bytes) -> PictureExtensions:
        """The extensions of one packet.

        Raises:
            ValueError: they are not of their form; aiortc drops such a packet.
        """
        known = super().get(extension_profile, extension_value)
        values = dict(unpack_header_extensions(extension_profile, extension_value))
        said = b"" if self._color_space_id is None else values.get(self._color_space_id, b"")
        return PictureExtensions(**vars(known), color_space=ColorSpace.parse(said))
