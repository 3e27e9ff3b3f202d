#!/usr/bin/env python3
"""A mobile robot at AWS IoT Core or its stand-in: MQTT 3.1.1 over WebSocket, by the PyPI package paho-mqtt. VDA 5050 2.1.

usage: cloud_robot.py ENDPOINT SERIAL

ENDPOINT is the URL of the stand-in. The robot is idle until it gets an order. It drives to the gate, waits for the
release of the work, works, and reports the result. The process prints each received message, and runs until it is
killed.
"""
import json
import sys
import threading
import time
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt

endpoint, serial = sys.argv[1:3]
address = urlsplit(endpoint)
base = f"uagv/v2/CloudCompany/{serial}"
state = {
    "orderId": "", "orderUpdateId": 0, "lastNodeId": "n0", "lastNodeSequenceId": 0, "nodeStates": [], "edgeStates": [],
    "driving": False, "actionStates": [], "errors": [], "operatingMode": "AUTOMATIC",
    "batteryState": {"batteryCharge": 80, "charging": False}, "safetyState": {"eStop": "NONE", "fieldViolation": False},
    "agvPosition": {"x": 0.0, "y": 0.0, "theta": 0.0, "mapId": "hall_map", "positionInitialized": True},
}
header = 0
lock = threading.Lock()


def publish(kind, members, retain=False):
    global header
    with lock:
        header += 1
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03}Z"
        message = {"headerId": header, "timestamp": stamp, "version": "2.1.0", "manufacturer": "CloudCompany", "serialNumber": serial}
        client.publish(f"{base}/{kind}", json.dumps(message | members), qos=0, retain=retain)


def on_connect(client, *_):
    client.subscribe([(f"{base}/order", 0), (f"{base}/instantActions", 0)])
    publish("connection", {"connectionState": "ONLINE"})
    publish("state", state)


def on_message(_client, _data, message):
    body = json.loads(message.payload)
    print(message.topic.rsplit("/", 1)[1], body.get("orderUpdateId"), flush=True)
    if not message.topic.endswith("/order"):
        return
    work = next(action for node in body["nodes"] for action in node["actions"])
    if body["orderUpdateId"] == 0 and state["orderId"] != body["orderId"]:
        state.update(orderId=body["orderId"], orderUpdateId=0, lastNodeSequenceId=2, actionStates=[],
                     nodeStates=[{"nodeId": "S1", "sequenceId": 4, "released": False}])
    elif body["orderUpdateId"] == 1 and state["orderUpdateId"] == 0:
        state.update(orderUpdateId=1, lastNodeSequenceId=4, nodeStates=[],
                     actionStates=[{"actionId": work["actionId"], "actionStatus": "FINISHED", "resultDescription": "seen"}])
    publish("state", state)


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=serial, transport="websockets")
client.ws_set_options(path="/mqtt", headers={"Host": f"desk.iot.us-east-1.amazonaws.com:{address.port}"})
client.on_connect = on_connect
client.on_message = on_message
client.connect(address.hostname, address.port, keepalive=15)
client.loop_start()
while True:
    time.sleep(1)
    publish("state", state)
