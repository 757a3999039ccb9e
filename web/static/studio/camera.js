/**
 * Getting hold of a camera, and saying what to do where the browser gives none.
 */

/** A camera that could not be had; the message says what to do. */
export class CameraError extends Error {}

/**
 * @param {{width: number, height: number}} size  the session's
 * @param {string} [deviceId]
 * @returns {Promise<MediaStreamTrack>}
 * @throws {CameraError}
 */
export async function openCamera(size, deviceId) {
  if (!isSecureContext || !navigator.mediaDevices) {
    throw new CameraError(
      `Browsers give a camera only to secure pages, and ${location.origin} is not one. ` +
        `Open this page over https, or on the server's own machine as http://localhost:${location.port || 80}.`,
    );
  }
  try {
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: false,
      video: {
        width: { ideal: Math.max(640, size.width) },
        height: { ideal: Math.max(360, size.height) },
        frameRate: { ideal: 30 },
        ...(deviceId && { deviceId: { exact: deviceId } }),
      },
    });
    const [track] = stream.getVideoTracks();
    if (!track) throw new CameraError("The browser gave no picture from this camera.");
    return track;
  } catch (error) {
    throw error instanceof CameraError ? error : new CameraError(advice(error));
  }
}

/** @returns {Promise<MediaDeviceInfo[]>} */
export async function listCameras() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter((device) => device.kind === "videoinput");
}

/** @param {unknown} error */
function advice(error) {
  const name = error instanceof DOMException ? error.name : "";
  switch (name) {
    case "NotAllowedError":
      return "The browser was not allowed to use the camera. Allow it in the site settings next to the address, then press “Use my camera” again. (NotAllowedError)";
    case "NotFoundError":
    case "OverconstrainedError":
      return `No such camera was found. Connect one, or choose another, then press “Use my camera” again. (${name})`;
    case "NotReadableError":
      return "Another program holds the camera: probably OBS or a video call. Close the camera there, or, in OBS, press “Start Virtual Camera” and choose “OBS Virtual Camera” here. (NotReadableError)";
    case "AbortError":
      return "The camera stopped while it was starting. Unplug it, plug it in again, and press “Use my camera”. (AbortError)";
    default:
      return `The camera could not be started: ${error instanceof Error ? error.message : String(error)}`;
  }
}
