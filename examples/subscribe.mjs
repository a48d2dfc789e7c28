// Masks in Node: npm install zeromq @msgpack/msgpack
// node examples/subscribe.mjs [ADDRESS]

import { decode } from "@msgpack/msgpack"
import { Subscriber } from "zeromq"

const stream = new Subscriber({ receiveHighWaterMark: 8, heartbeatInterval: 1000, heartbeatTimeout: 3000 })
stream.connect(process.argv[2] ?? "tcp://127.0.0.1:5570")
stream.subscribe("g1.mask.")

/** Is cell u from the left, v from the top, the object's? */
function isObject(mask, u, v) {
  const row = Math.ceil(mask.width / 8)
  return ((mask.data[v * row + (u >> 3)] >> (7 - (u & 7))) & 1) === 1
}

for await (const [topic, payload] of stream) {
  const mask = decode(new Uint8Array(payload), { useBigInt64: true }) // times do not fit a double
  const [left, top, width, height] = mask.roi
  const middle = isObject(mask, mask.width >> 1, mask.height >> 1) ? "object" : "background"
  console.log(
    `${topic}  frame ${mask.seq}  track ${mask.track}  area ${mask.area}  ` +
      `region ${left},${top} ${width}x${height}  middle ${middle}`,
  )
}
