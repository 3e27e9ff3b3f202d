#!/usr/bin/env bash
# A vehicle of the PyPI package vda5050-sdk stays silent after its MQTT broker was restarted, and reports no error.
#
# Expected: the client connects again after a restart of the broker, as most MQTT clients do, or it reports the loss of the connection.
# Happens: VehicleClient publishes its state every `state_interval` seconds. After the broker was restarted, no message arrives any
#   more: neither a state nor a connection message. The exception stays in a task that nobody reads, so it reaches neither the program
#   nor the event loop, and the process runs on. Only an explicit publish_state() raises an error. A second call of connect() works:
#   the states then arrive again.
# Where a service desk meets it: after maintenance of the broker, robots look lost although they stand on the floor and are healthy.
#   Their missions go to other robots or to people.
# What to do: the program of the robot has to call publish_state() itself from time to time, and connect() after an error. A master
#   must treat silence as the loss of a robot, and must not wait for a message that reports it.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The Debian packages of the broker are extracted into the temporary folder. apt-get gets a cache there, and new package lists only if
# the lists of this machine are missing or old.
apt=(apt-get -q -o "Dir::Cache=$work/apt" -o "APT::Sandbox::User=")
new=(-o "Dir::State::Lists=$work/lists")
packages=(mosquitto=2.0.11-1.2+deb12u2 libmosquitto1=2.0.11-1.2+deb12u2 libcjson1 libwebsockets17 libdlt2 libwrap0 libuv1)
mkdir -p "$work/apt/archives/partial" "$work/lists/partial" "$work/packages"
(
    cd "$work/packages"
    "${apt[@]}" download "${packages[@]}" || { "${apt[@]}" "${new[@]}" update && "${apt[@]}" "${new[@]}" download "${packages[@]}"; }
) >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
for package in "$work"/packages/*.deb; do dpkg-deb -x "$package" "$work/root"; done
machine=$(uname -m)-linux-gnu

python3 -m venv "$work/python"
"$work/python/bin/pip" install --quiet --disable-pip-version-check vda5050-sdk==0.2.0 aiomqtt==2.5.1 jsonschema==4.26.0 paho-mqtt==2.2.0

cat > "$work/vehicle.py" <<'PY'
import asyncio
import importlib.metadata
import os
import socket
import subprocess
import sys
import time

import paho.mqtt.client as mqtt
from vda5050.client.agv.client import VehicleClient
from vda5050.config import VehicleConfig

program, libraries = sys.argv[1:3]
free = socket.socket()
free.bind(("127.0.0.1", 0))
port = free.getsockname()[1]
free.close()


def broker():
    process = subprocess.Popen(
        [program, "-p", str(port)],
        env=os.environ | {"LD_LIBRARY_PATH": libraries},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return process
        except OSError:
            time.sleep(0.05)
    raise SystemExit("the broker does not start")


async def arrives(seen, count, seconds):
    """Waits until so many messages have arrived, but at most this long. Returns whether they have arrived."""
    for _ in range(seconds * 20):
        if len(seen) >= count:
            return True
        await asyncio.sleep(0.05)
    return False


async def main():
    process = broker()
    seen, errors = [], []
    subscribed = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: errors.append(context))
    watcher = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    watcher.on_message = lambda client, data, message: seen.append(message.topic)
    watcher.on_connect = lambda client, *rest: client.subscribe("#")
    watcher.on_subscribe = lambda *rest: loop.call_soon_threadsafe(subscribed.set)
    watcher.connect("127.0.0.1", port)
    watcher.loop_start()
    await subscribed.wait()
    config = VehicleConfig(broker_url=f"mqtt://127.0.0.1:{port}", manufacturer="Company", serial_number="1", state_interval=1.0)
    vehicle = VehicleClient(config)
    await vehicle.connect()
    vehicle.publisher.init_position(x=0.0, y=0.0, theta=0.0, map_id="hall", last_node_id="n1")
    assert await arrives(seen, 4, 20), "the vehicle publishes its state every second"
    process.terminate()
    process.wait()
    subscribed.clear()
    process = broker()
    await asyncio.wait_for(subscribed.wait(), 30)
    seen.clear()
    is_back = await arrives(seen, 1, 10)
    early = len(errors)
    print(f"the watcher is connected again; messages of the vehicle within 10 s: {len(seen)}; errors: {early}")
    try:
        await vehicle.publish_state()
        raised = "nothing"
    except Exception as error:
        raised = f"{type(error).__name__}: {error}"
    print("an explicit publish_state() raises", raised)
    await vehicle.connect()
    is_repaired = await arrives(seen, 2, 20)
    print("states after a second connect():", is_repaired)
    watcher.loop_stop()
    process.terminate()
    process.wait()
    return not is_back and early == 0 and raised != "nothing" and is_repaired


print("vda5050-sdk", importlib.metadata.version("vda5050-sdk"), "aiomqtt", importlib.metadata.version("aiomqtt"))
async def checked():
    is_as_described = await main()
    sys.stdout.flush()
    # The client has running tasks without a connection, so the program ends without them.
    os._exit(0 if is_as_described else 1)


asyncio.run(checked())
PY
timeout 120 "$work/python/bin/python" "$work/vehicle.py" "$work/root/usr/sbin/mosquitto" "$work/root/usr/lib/$machine:$work/root/lib/$machine"
