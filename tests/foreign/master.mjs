// A fleet control: the master controller of the npm package vda-5050-lib, unchanged. VDA 5050 2.0.
//
// usage: master.mjs MODULES PORT INTERFACE MANUFACTURER SERIAL MAP X Y ORDERS
//
// MODULES is the directory that contains node_modules. The program gives one robot ORDERS orders, one after
// another, at the broker 127.0.0.1:PORT. The robot stays at its position. For each order, the program prints the
// time in milliseconds from the assignment until the first state of the robot with this order.
import { createRequire } from "node:module";

const [modules, port, interfaceName, manufacturer, serialNumber, mapId, x, y, orders] = process.argv.slice(2);
const { MasterController, Topic, createUuid } = createRequire(`${modules}/`)("vda-5050-lib");

const robot = { manufacturer, serialNumber };
const master = new MasterController(
    { interfaceName, transport: { brokerUrl: `mqtt://127.0.0.1:${port}` }, vdaVersion: "2.0.0" },
    {},
);
await master.start();
let confirmed;
await master.subscribe(Topic.State, robot, (state) => confirmed?.(state.orderId));
for (let count = 0; count < Number(orders); count += 1) {
    const orderId = createUuid();
    const begin = performance.now();
    const isConfirmed = new Promise((resolve) => {
        confirmed = (id) => id === orderId && resolve(performance.now() - begin);
    });
    const isProcessed = new Promise((resolve, reject) => {
        const order = {
            orderId,
            orderUpdateId: 0,
            nodes: [
                {
                    nodeId: `home-${serialNumber}`,
                    sequenceId: 0,
                    released: true,
                    nodePosition: { x: Number(x), y: Number(y), mapId },
                    actions: [{ actionId: createUuid(), actionType: "noop", blockingType: "HARD" }],
                },
            ],
            edges: [],
        };
        const onOrderProcessed = (error, _byCancelation, active) => {
            if (error) reject(new Error(JSON.stringify(error)));
            else if (!active) resolve();
        };
        master.assignOrder(robot, order, { onOrderProcessed }).catch(reject);
    });
    console.log((await isConfirmed).toFixed(3));
    await isProcessed;
}
await master.stop();
process.exit(0);
