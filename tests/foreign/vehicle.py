#!/usr/bin/env python3
"""A mobile robot: the vehicle client of the PyPI package vda5050-sdk, unchanged. VDA 5050 2.1.

usage: vehicle.py PORT SERIAL X Y DRIVE_SECONDS

The robot drives DRIVE_SECONDS to each node. The process prints `ready` when the robot is connected to the broker at 127.0.0.1:PORT, prints
`order ID UPDATE` for each accepted order, and runs until it is killed.
"""
import asyncio
import sys

from vda5050.client.agv.client import VehicleClient
from vda5050.client.agv.executor import OrderExecutor
from vda5050.config import VehicleConfig

port, serial, x, y, seconds = sys.argv[1:6]


async def main():
    config = VehicleConfig(
        broker_url=f"mqtt://127.0.0.1:{port}",
        manufacturer="VehicleCompany",
        serial_number=serial,
        state_interval=2.0,
    )
    vehicle = VehicleClient(config)
    await vehicle.connect()
    vehicle.publisher.init_position(x=float(x), y=float(y), theta=0.0, map_id="hall_map", last_node_id=f"n-{serial}")
    executor = OrderExecutor(vehicle.publisher, node_delay=float(seconds), action_delay=0.5)
    running = set()

    def start(order):
        print("order", order.order_id, order.order_update_id, flush=True)
        task = asyncio.create_task(executor.run(order))
        running.add(task)
        task.add_done_callback(running.discard)

    vehicle.on_order(start)
    await vehicle.publish_state()
    print("ready", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
