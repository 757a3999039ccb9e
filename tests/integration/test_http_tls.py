"""A certificate of the server's own making."""

import ssl
from pathlib import Path


async def test_a_self_signed_server_answers_over_tls_and_keeps_its_certificate(start_site, tmp_path: Path) -> None:
    site = await start_site(tls="self-signed")
    assert site.address.startswith("https://127.0.0.1:")
    assert (await site.client.get("/livez")).status_code == 200
    opened = await site.open()
    assert opened["urls"]["socket"].startswith("wss://")
    certificate = tmp_path / "state" / "tls" / "certificate.pem"
    before = certificate.read_bytes()
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with site.socket(opened, "?view=0", ssl=trusting) as socket:
        assert "hello" in await socket.recv()
    await site.stop()
    await start_site(tls="self-signed")
    assert certificate.read_bytes() == before
