// Gaze of your own in Node, here a circle: npm install zeromq @msgpack/msgpack
// node examples/push_gaze.mjs [ADDRESS OF THE STREAM]     for `glasses run --gaze inlet:circle`

import { encode } from "@msgpack/msgpack"
import { setTimeout } from "node:timers/promises"
import { Publisher } from "zeromq"

const stream = process.argv[2] ?? "tcp://127.0.0.1:5570"
const topic = "g1.in.gaze.circle"

/** The input is two ports above the stream, or beside it in the file system. */
function inputOf(address) {
  const port = address.match(/^tcp:.*:(\d+)$/)?.[1]
  return port ? address.replace(/\d+$/, Number(port) + 2) : `${address}-input`
}

/** Where the eyes are: 0 to 1 of the picture, from its top left. Time 0: arrival counts. */
function look(seconds) {
  const angle = (2 * Math.PI * seconds) / 4
  return { v: 1, topic, t_ns: 0, x: 0.5 + 0.3 * Math.cos(angle), y: 0.5 + 0.3 * Math.sin(angle), confidence: 1 }
}

const eyes = new Publisher({ linger: 0 })
eyes.connect(inputOf(stream))
console.log("looking in a circle; Ctrl-C stops")
for (;;) {
  await eyes.send([topic, encode(look(performance.now() / 1000))])
  await setTimeout(1000 / 60)
}
