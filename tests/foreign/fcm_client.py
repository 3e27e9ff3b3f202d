"""Sends messages through Firebase Cloud Messaging (FCM) with the plugin of Apprise, the only change being its host.

Usage: fcm_client.py account FILE PROJECT TOKEN_URL
       fcm_client.py send URL PROJECT FILE DEVICE GONE UNKNOWN

`account` writes the key file of a service account with a new RSA key. `send` sends messages to a device, to a device whose
app was removed, and to a device that FCM does not know, and checks each result. Prints a JSON object with the number of
calls and the results. Fails if a result is another one than expected.
"""

import json
import sys
from urllib.parse import quote


def account(file, project, token_url):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    content = {
        "type": "service_account",
        "project_id": project,
        "private_key_id": "key-1",
        "private_key": pem.decode(),
        "client_email": f"desk@{project}.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": token_url,
    }
    with open(file, "w", encoding="utf-8") as output:
        json.dump(content, output)
    return {"calls": 0, "results": {}}


def send(url, project, file, device, gone, unknown):
    import apprise
    from apprise.plugins.fcm import NotifyFCM

    # The plugin has a fixed host, and waits between two messages.
    NotifyFCM.notify_oauth2_url = url + "/v1/projects/{project}/messages:send"
    NotifyFCM.request_rate_per_sec = 0

    def notify(target, body="x", key=file):
        one = apprise.Apprise()
        address = f"fcm://{project}/{target}/?mode=oauth2&priority=high&keyfile={quote(key, safe='')}"
        assert one.add(address), "Apprise accepts the address"
        # Apprise 2 returns an object.
        return bool(one.notify(title="REQ1 · 高", body=body))

    other = file + ".other"
    account(other, project, json.load(open(file, encoding="utf-8"))["token_uri"])
    expected = {
        "device": (notify(device), True),
        "text": (notify(device, body="请审批 <b> & \"x\""), True),
        "gone": (notify(gone), False),
        "unknown": (notify(unknown), False),
        "other_key": (notify(device, key=other), False),
    }
    for name, (actual, wanted) in expected.items():
        if actual is not wanted:
            raise AssertionError(f"{name}: expected {wanted}, got {actual}")
    return {"calls": len(expected), "results": {name: actual for name, (actual, _) in expected.items()}}


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    print(json.dumps({"account": account, "send": send}[command](*arguments)))
