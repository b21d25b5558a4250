// A console that shows a picture: the websocket handshake and as much of RFB 3.8 as a client needs for one screen.
import { createHash } from "node:crypto";

const WIDTH = 640;
const HEIGHT = 400;
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** One unmasked binary frame. */
function frame(payload) {
  const size = payload.length;
  let head;
  if (size < 126) head = Buffer.from([0x82, size]);
  else if (size < 65536) head = Buffer.from([0x82, 126, size >> 8, size & 0xff]);
  else {
    head = Buffer.alloc(10);
    head[0] = 0x82;
    head[1] = 127;
    head.writeBigUInt64BE(BigInt(size), 2);
  }
  return Buffer.concat([head, payload]);
}

/** The next frame of what has arrived: its opcode, payload and length, or undefined when it is not whole. */
function readFrame(data) {
  if (data.length < 6) return undefined;
  let size = data[1] & 0x7f;
  let at = 2;
  if (size === 126) {
    size = data.readUInt16BE(2);
    at = 4;
  }
  if (data.length < at + 4 + size) return undefined;
  const mask = data.subarray(at, at + 4);
  const payload = Buffer.from(data.subarray(at + 4, at + 4 + size));
  for (let i = 0; i < payload.length; i++) payload[i] ^= mask[i % 4];
  return { opcode: data[0] & 0x0f, payload, length: at + 4 + size };
}

/** ServerInit: size, 32 bits a pixel, name. */
function serverInit() {
  const name = Buffer.from("mock guest");
  const head = Buffer.alloc(24);
  head.writeUInt16BE(WIDTH, 0);
  head.writeUInt16BE(HEIGHT, 2);
  head.set([32, 24, 0, 1], 4);
  head.writeUInt16BE(255, 8);
  head.writeUInt16BE(255, 10);
  head.writeUInt16BE(255, 12);
  head.set([16, 8, 0], 14);
  head.writeUInt32BE(name.length, 20);
  return Buffer.concat([head, name]);
}

/** One raw rectangle: colours that cannot be taken for an empty screen. */
function picture() {
  const head = Buffer.from([
    0,
    0,
    0,
    1,
    0,
    0,
    0,
    0,
    WIDTH >> 8,
    WIDTH & 0xff,
    HEIGHT >> 8,
    HEIGHT & 0xff,
    0,
    0,
    0,
    0,
  ]);
  const pixels = Buffer.alloc(WIDTH * HEIGHT * 4);
  for (let y = 0; y < HEIGHT; y++)
    for (let x = 0; x < WIDTH; x++)
      pixels.writeUInt32LE((((y >> 2) & 0x3f) << 16) | (((x >> 2) & 0xff) << 8) | 0x60, (y * WIDTH + x) * 4);
  return Buffer.concat([head, pixels]);
}

const STEPS = [
  // version -> security types; type -> result; client init -> server init
  () => Buffer.from([1, 1]),
  () => Buffer.from([0, 0, 0, 0]),
  serverInit,
];

/** Answers the upgrade and plays the server's side. */
export function serveConsole(request, socket) {
  const accept = createHash("sha1")
    .update(request.headers["sec-websocket-key"] + GUID)
    .digest("base64");
  const protocol = request.headers["sec-websocket-protocol"]?.split(",")[0].trim();
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n` +
      `${protocol ? `Sec-WebSocket-Protocol: ${protocol}\r\n` : ""}\r\n`,
  );
  socket.on("error", () => socket.destroy());
  socket.write(frame(Buffer.from("RFB 003.008\n")));
  let step = 0;
  let arrived = Buffer.alloc(0);
  socket.on("data", (piece) => {
    arrived = Buffer.concat([arrived, piece]);
    for (let one = readFrame(arrived); one; one = readFrame(arrived)) {
      arrived = arrived.subarray(one.length);
      if (one.opcode === 8) return socket.end();
      if (step < STEPS.length) socket.write(frame(STEPS[step++]()));
      // A request for the whole screen; one for changes waits for ever, as nothing changes.
      else if (one.payload.includes(Buffer.from([3, 0, 0, 0, 0, 0]))) socket.write(frame(picture()));
    }
  });
}
