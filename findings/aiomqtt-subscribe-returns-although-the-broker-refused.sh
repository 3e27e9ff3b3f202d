#!/usr/bin/env bash
# aiomqtt: "await client.subscribe(topic)" returns without an error if the broker refuses the subscription, and no message ever arrives.
#
# Expected: subscribe() waits for the answer of the broker. If this answer is a refusal (0x80 in MQTT 3.1.1, 0x87 "Not authorized" in MQTT
#   5), it raises MqttError, as it does without a connection and for a refused login. subscribeAsync() of MQTT.js rejects.
# Happens: the reason of the broker is the return value: a list with one ReasonCode, whose is_failure is True. The call is complete, the
#   connection stays open, and the loop over client.messages waits. amqtt behaves in the same way and returns [128].
# Where a service desk meets it: an access list of the broker does not have the topic of a new site. The program of the fleet logs
#   "subscribed" and looks healthy. The robots of this site are never seen, and their errors become no tickets.
# What to do: check the result: any(code.is_failure for code in result), or for amqtt any(code >= 128 for code in result).
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check aiomqtt==2.5.1 amqtt==0.12.1 paho-mqtt==2.2.0
npm install --silent --no-audit --no-fund --prefix "$work" mqtt@5.16.0

cat > "$work/fleet.cjs" <<'JS'
const mqtt = require("mqtt");

(async () => {
  const version = require("./node_modules/mqtt/package.json").version;
  const client = await mqtt.connectAsync(process.argv[2], { reconnectPeriod: 0 });
  const result = await client.subscribeAsync("fleet/+/state", { qos: 1 }).then(JSON.stringify, (error) => `rejects: ${error.message}`);
  console.log(`MQTT.js ${version}, MQTT 3.1.1: ${result}`);
  await client.endAsync(true);
})();
JS
cat > "$work/fleet.py" <<'PY'
import asyncio
import logging
import subprocess
import sys
from importlib.metadata import version
import aiomqtt
from amqtt.client import MQTTClient

logging.disable(logging.CRITICAL)


async def broker(reader, writer):
    """Accepts a connection and refuses each subscription."""
    is_five = False
    while head := await reader.read(2):
        length = head[1] & 127
        if head[1] > 127:
            length += (await reader.readexactly(1))[0] << 7
        body = await reader.readexactly(length)
        if head[0] >> 4 == 1:
            is_five = body[6] == 5
            writer.write(b"\x20\x03\0\0\0" if is_five else b"\x20\x02\0\0")
        elif head[0] >> 4 == 8:
            writer.write(b"\x90\x04" + body[:2] + b"\0\x87" if is_five else b"\x90\x03" + body[:2] + b"\x80")
        elif head[0] >> 4 == 14:
            break
    writer.close()


async def main():
    server = await asyncio.start_server(broker, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for name, protocol in [("3.1.1", aiomqtt.ProtocolVersion.V311), ("5", aiomqtt.ProtocolVersion.V5)]:
        async with aiomqtt.Client("127.0.0.1", port, protocol=protocol) as client:
            result = await client.subscribe("fleet/+/state", qos=1)
            codes = [str(code) for code in result]
            print(f"aiomqtt {version('aiomqtt')}, MQTT {name}: returns {codes}, is_failure: {result[0].is_failure}")
    client = MQTTClient(config={"auto_reconnect": False})
    await client.connect(f"mqtt://127.0.0.1:{port}/")
    print(f"amqtt {version('amqtt')}, MQTT 3.1.1: returns {await client.subscribe([('fleet/+/state', 1)])}")
    await client.disconnect()
    other = await asyncio.create_subprocess_exec("node", sys.argv[1], f"mqtt://127.0.0.1:{port}", stdout=subprocess.PIPE)
    print((await other.communicate())[0].decode().strip())
    server.close()


asyncio.run(main())
PY
"$work/venv/bin/python" "$work/fleet.py" "$work/fleet.cjs" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
aiomqtt 2.5.1, MQTT 3.1.1: returns ['Unspecified error'], is_failure: True
aiomqtt 2.5.1, MQTT 5: returns ['Not authorized'], is_failure: True
amqtt 0.12.1, MQTT 3.1.1: returns [128]
MQTT.js 5.16.0, MQTT 3.1.1: rejects: Subscribe error: Unspecified error
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
