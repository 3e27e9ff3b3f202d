"""Checks a token of an imitated Bot Framework with the unchanged library of the vendor (botframework-connector).

Usage: teams_token.py URL APP_ID SERVICE TOKEN

URL is the address of the imitation, SERVICE the service URL of the activity, and TOKEN the value of the header Authorization.
The library reads the published keys from URL. Prints the checks and their results as a JSON object. Fails if a result is not
the expected one.
"""

import asyncio
import json
import sys

from botframework.connector.auth import ChannelValidation, JwtTokenValidation, SimpleCredentialProvider

RESULTS = {}


async def check(name, token, app, channel, service, expected):
    try:
        identity = await JwtTokenValidation.validate_auth_header(
            token, SimpleCredentialProvider(app, ""), "", channel, service
        )
        actual = "accepted" if identity.is_authenticated else "not authenticated"
    except Exception:
        actual = "refused"
    RESULTS[name] = actual
    if actual != expected:
        raise AssertionError(f"{name}: expected {expected}, got {actual}")


async def main(url, app, service, token):
    ChannelValidation.open_id_metadata_endpoint = f"{url}/v1/.well-known/openidconfiguration"
    header, claims, signature = token.split(".")
    changed = claims[:-2] + ("AA" if claims[-2:] != "AA" else "BB")
    await check("the token", token, app, "msteams", service, "accepted")
    await check("another channel", token, app, "webchat", service, "refused")
    await check("another service", token, app, "msteams", service + "/x", "refused")
    await check("another bot", token, "0a1b2c3d-0000-4000-8000-0000000000ff", "msteams", service, "refused")
    await check("changed claims", f"{header}.{changed}.{signature}", app, "msteams", service, "refused")
    await check("no signature", f"{header}.{claims}.", app, "msteams", service, "refused")
    print(json.dumps(RESULTS))


if __name__ == "__main__":
    if len(sys.argv) != 5:
        raise SystemExit(__doc__)
    asyncio.run(main(*sys.argv[1:]))
