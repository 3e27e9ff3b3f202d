#!/usr/bin/env bash
# paho-mqtt: publish() returns "not currently connected" and is_published() raises "publish failed", but the message is sent later.
#
# Expected: rc 4 (MQTT_ERR_NO_CONN) is an error: the message was not taken. is_published() raises "Message publish failed: The client is not
#   currently connected.", so the program sends it again after the next connection.
# Happens: for QoS 1 and 2 the message is stored and sent after the connection, so each attempt arrives once more. The returned object
#   stays "failed" for ever, also after the broker's acknowledgment. Only on_publish reports it, by the number of the message. For
#   QoS 0 the same code and the same text are true: the message is lost.
# Where a service desk meets it: a robot gateway sends an order while the broker restarts, and tries again because of the error. The robot gets
#   the order once per attempt, and in the record of the gateway all attempts failed.
# What to do: for QoS 1 and 2 take rc 0 and rc 4 as "stored", and wait for on_publish with the mid. For QoS 0 send again after rc 4.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
broker=
trap '[ -z "$broker" ] || kill "$broker" 2>/dev/null || true; rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check paho-mqtt==2.2.0
npm install --silent --no-audit --no-fund --prefix "$work" aedes@1.2.0

cat > "$work/broker.cjs" <<'JS'
const net = require("node:net");
const { writeFileSync, renameSync } = require("node:fs");
const { Aedes } = require("aedes");

(async () => {
  const broker = await Aedes.createBroker();
  const server = net.createServer(broker.handle);
  server.listen(0, "127.0.0.1", () => {
    writeFileSync(`${__dirname}/port.new`, String(server.address().port));
    renameSync(`${__dirname}/port.new`, `${__dirname}/port`);
  });
})();
JS
cat > "$work/publish.py" <<'PY'
import sys
import threading
from importlib.metadata import version
import paho.mqtt.client as mqtt


def client(name):
    return mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, name)


def state(info):
    try:
        return f"is_published() is {info.is_published()}"
    except RuntimeError as error:
        return f"is_published() raises {error}"


print(f"paho-mqtt {version('paho-mqtt')}")
port, received, ready, ended = int(sys.argv[1]), [], threading.Event(), threading.Event()
robot, gateway = client("robot"), client("gateway")


def on_message(client, user, message):
    received.append(message.payload.decode())
    if received[-1] == "end":
        ended.set()


robot.on_message = on_message
robot.on_subscribe = lambda *values: ready.set()
robot.connect("127.0.0.1", port)
robot.subscribe("orders", 1)
robot.loop_start()
assert ready.wait(30)

infos = {}
for qos in [0, 1]:
    for attempt in [1, 2]:
        infos[f"QoS {qos}, attempt {attempt}"] = gateway.publish("orders", f"order with QoS {qos}", qos)
for name, info in infos.items():
    print(f"before the connection, {name}: rc {info.rc}, {state(info)}")
acknowledged, missing = [], {info.mid for name, info in infos.items() if "QoS 1" in name}


def on_publish(client, user, mid, *values):
    acknowledged.append(mid)
    if mid in missing:
        missing.discard(mid)
        if not missing:
            client.publish("orders", "end", 1)


gateway.on_publish = on_publish
gateway.connect("127.0.0.1", port)
gateway.loop_start()
ended.wait(30)
print(f"the robot received: {', '.join(received)}")
for name, info in infos.items():
    print(f"afterwards, {name}: acknowledged: {info.mid in acknowledged}, {state(info)}")
for one in [gateway, robot]:
    one.disconnect()
    one.loop_stop()
PY
node "$work/broker.cjs" &
broker=$!
until [ -e "$work/port" ]; do kill -0 "$broker"; sleep 0.1; done
"$work/venv/bin/python" "$work/publish.py" "$(cat "$work/port")" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
paho-mqtt 2.2.0
before the connection, QoS 0, attempt 1: rc 4, is_published() raises Message publish failed: The client is not currently connected.
before the connection, QoS 0, attempt 2: rc 4, is_published() raises Message publish failed: The client is not currently connected.
before the connection, QoS 1, attempt 1: rc 4, is_published() raises Message publish failed: The client is not currently connected.
before the connection, QoS 1, attempt 2: rc 4, is_published() raises Message publish failed: The client is not currently connected.
the robot received: order with QoS 1, order with QoS 1, end
afterwards, QoS 0, attempt 1: acknowledged: False, is_published() raises Message publish failed: The client is not currently connected.
afterwards, QoS 0, attempt 2: acknowledged: False, is_published() raises Message publish failed: The client is not currently connected.
afterwards, QoS 1, attempt 1: acknowledged: True, is_published() raises Message publish failed: The client is not currently connected.
afterwards, QoS 1, attempt 2: acknowledged: True, is_published() raises Message publish failed: The client is not currently connected.
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
