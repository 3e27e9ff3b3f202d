// A mobile robot: the virtual AGV of the npm package vda-5050-lib, unchanged. VDA 5050 2.0.
//
// usage: agv.mjs MODULES PORT INTERFACE SERIAL X Y
//
// MODULES is the directory that contains node_modules. The process prints `ready` when the robot is
// connected to the broker at 127.0.0.1:PORT, and runs until it is killed.
import { createRequire } from "node:module";

const [modules, port, interfaceName, serialNumber, x, y] = process.argv.slice(2);
const { AgvController, VirtualAgvAdapter } = createRequire(`${modules}/`)("vda-5050-lib");

const controller = new AgvController(
    { manufacturer: "RobotCompany", serialNumber },
    { interfaceName, transport: { brokerUrl: `mqtt://127.0.0.1:${port}` }, vdaVersion: "2.0.0" },
    { agvAdapterType: VirtualAgvAdapter, publishStateInterval: 2000 },
    {
        initialPosition: { mapId: "hall_map", x: Number(x), y: Number(y), theta: 0, lastNodeId: `n-${serialNumber}` },
        vehicleSpeed: 4,
        tickRate: 20,
        timeLapse: 2,
    },
);
await controller.start();
console.log("ready");
