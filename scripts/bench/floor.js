// The floor of the portable path: a bare node:dgram loop that answers with the question. Started by speed.ts and scale.ts.

import { createSocket } from "node:dgram";

const [port] = process.argv.slice(2);
const socket = createSocket({ type: "udp4", lookup: (address, _family, callback) => callback(null, address, 4) });
socket.on("message", (packet, from) => {
  packet[2] |= 0x80; // QR
  socket.send(packet, from.port, from.address, onSent);
});
socket.bind(Number(port), "127.0.0.1");

function onSent() {}
