// A client written from the protocol's page: masks, status and control, told as JSON.
// node client.mjs live <stream> <control>     or     node client.mjs vectors <file.msgpack>...

import { readFileSync } from "node:fs"
import { decode, encode } from "@msgpack/msgpack"
import * as zmq from "zeromq"

const read = (bytes) => decode(new Uint8Array(bytes), { useBigInt64: true })
const write = (value) => encode(value, { useBigInt64: true })

const plain = (key, value) => {
  if (typeof value === "bigint") return `${value}n`
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex")
  return value
}

function cells({ width, height, data }) {
  const stride = Math.ceil(width / 8)
  const cell = (u, v) => (data[v * stride + (u >> 3)] >> (7 - (u & 7))) & 1
  return Array.from({ length: height }, (_, v) => Array.from({ length: width }, (_, u) => cell(u, v)))
}

async function first(stream, topic) {
  const socket = new zmq.Subscriber({ receiveTimeout: 10000 })
  socket.connect(stream)
  socket.subscribe(topic)
  const frames = await socket.receive()
  socket.close()
  return { frames: frames.length, topic: frames[0].toString(), message: read(frames[1]) }
}

async function ask(socket, request) {
  await socket.send(write(request))
  const frames = await socket.receive()
  return read(frames.at(-1))
}

async function control(socket, address) {
  socket.connect(address)
  const replies = [
    await ask(socket, { v: 1, id: 1, op: "hello" }),
    await ask(socket, { v: 1, id: 2, op: "time", t_client_ns: process.hrtime.bigint() }),
    await ask(socket, { v: 1, id: 3, op: "aim", x: 320.5, y: 240 }),
    await ask(socket, { v: 1, id: 4, op: "aim", x: -1, y: 240 }),
    await ask(socket, { v: 1, id: 5, op: "release" }),
  ]
  socket.close()
  return replies
}

async function live(stream, address) {
  const mask = await first(stream, "g1.mask.")
  return {
    mask,
    cells: cells(mask.message),
    status: await first(stream, "g1.status."),
    dealer: await control(new zmq.Dealer({ receiveTimeout: 10000 }), address),
    request: await control(new zmq.Request({ receiveTimeout: 10000 }), address),
  }
}

function vectors(files) {
  return files.map((file) => {
    const message = read(readFileSync(file))
    return { message, cells: message.data ? cells(message) : null }
  })
}

const [mode, ...given] = process.argv.slice(2)
const told = mode === "live" ? await live(...given) : vectors(given)
process.stdout.write(JSON.stringify(told, plain))
