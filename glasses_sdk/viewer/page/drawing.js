// The viewer's canvases: the plane, the mask over its region, the gaze, the ages.
const TRAIL_MS = 700;

const part = (id) => document.getElementById(id);

const theme = {};
let planeDrawnFor = "";
let maskDrawn = null;

function readTheme() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["mask", "roi", "gaze", "grid", "soft", "plane", "wait"])
    theme[name] = style.getPropertyValue(`--${name}`).trim();
  theme.font = style.fontFamily;
  maskDrawn = null;
  planeDrawnFor = "";
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", readTheme);

/** Everything on the stage; called for each frame of the display. */
export function draw(seen) {
  drawPlane(sensorSize(seen));
  if (seen.mask) drawMask(seen.mask);
  drawMarks(seen);
}

/** Width and height of the full sensor; 4 to 3 until somebody has said it. */
export function sensorSize({ mask, status }) {
  return (mask?.sensor ?? status?.sensor.size ?? [4, 3]).map(Number);
}

/** A canvas's context in CSS pixels, its backing store at the display's own. */
function fit(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
  const ink = canvas.getContext("2d");
  ink.setTransform(ratio, 0, 0, ratio, 0, 0);
  ink.clearRect(0, 0, width, height);
  return { ink, width, height };
}

function drawPlane([across, down]) {
  const canvas = part("plane");
  const key = `${across} ${down} ${canvas.clientWidth} ${canvas.clientHeight} ${devicePixelRatio}`;
  if (key === planeDrawnFor) return;
  planeDrawnFor = key;
  document.querySelector(".view").style.setProperty("--aspect", across / down);
  const { ink, width, height } = fit(canvas);
  ink.fillStyle = theme.grid;
  const gap = Math.min(width, height) / 16; // the grid that the coarse privacy level snaps to
  for (let y = gap; y < height - gap / 2; y += gap)
    for (let x = gap; x < width - gap / 2; x += gap) ink.fillRect(x - 1, y - 1, 2, 2);
  if (across < 16) return; // nobody has said the size yet
  ink.clearRect(0, 0, 52, 26); // no dots behind the words
  ink.clearRect(width - 88, height - 26, 88, 26);
  ink.textAlign = "left";
  write(ink, "0, 0", 10, 19);
  ink.textAlign = "right";
  write(ink, `${across}, ${down}`, width - 10, height - 10);
}

function write(ink, text, x, y, colour = theme.soft) {
  Object.assign(ink, { font: `11.5px ${theme.font}`, fillStyle: colour });
  ink.fillText(text, x, y);
}

/** Cell for cell: the canvas has the mask's own size, opaque where the object is. */
function drawMask(mask) {
  if (maskDrawn === mask) return;
  maskDrawn = mask;
  const canvas = part("mask");
  const [cells, rows] = [Number(mask.width), Number(mask.height)];
  if (canvas.width !== cells || canvas.height !== rows) Object.assign(canvas, { width: cells, height: rows });
  const ink = canvas.getContext("2d");
  const picture = ink.createImageData(cells, rows);
  const rowBytes = Math.ceil(cells / 8);
  const colour = [...theme.mask.split(" ").map(Number), 255];
  for (let v = 0; v < rows; v++)
    for (let u = 0; u < cells; u++)
      if ((mask.data[v * rowBytes + (u >> 3)] >> (7 - (u & 7))) & 1)
        picture.data.set(colour, 4 * (v * cells + u));
  ink.putImageData(picture, 0, 0);
  place(canvas, mask);
  canvas.dataset.seq = mask.seq;
}

function place(canvas, { roi, sensor }) {
  const percent = (value, side) => `${(100 * Number(value)) / Number(side)}%`;
  Object.assign(canvas.style, {
    left: percent(roi[0], sensor[0]),
    top: percent(roi[1], sensor[1]),
    width: percent(roi[2], sensor[0]),
    height: percent(roi[3], sensor[1]),
  });
}

function drawMarks(seen) {
  const { ink, width, height } = fit(part("marks"));
  if (seen.mask) drawRoi(ink, width, height, seen.mask);
  drawTrail(ink, width, height, seen.trail);
  const point = seen.trail.at(-1);
  if (point) drawGaze(ink, point.x * width, point.y * height);
}

const fresh = ({ at }) => performance.now() - at < TRAIL_MS;

function drawRoi(ink, width, height, { roi, sensor, track, roi_state: state }) {
  const [x, w] = [roi[0], roi[2]].map((value) => (Number(value) * width) / Number(sensor[0]));
  const [y, h] = [roi[1], roi[3]].map((value) => (Number(value) * height) / Number(sensor[1]));
  ink.strokeStyle = state === "held" ? theme.wait : theme.roi;
  ink.globalAlpha = 0.45;
  ink.lineWidth = 1;
  ink.setLineDash(state === "stable" ? [] : [4, 4]);
  ink.strokeRect(x, y, w, h);
  ink.setLineDash([]);
  ink.globalAlpha = 1;
  ink.lineWidth = 2.5;
  const arm = Math.min(18, w / 4, h / 4);
  ink.beginPath();
  for (const [cx, cy, dx, dy] of [[x, y, 1, 1], [x + w, y, -1, 1], [x + w, y + h, -1, -1], [x, y + h, 1, -1]]) {
    ink.moveTo(cx + dx * arm, cy);
    ink.lineTo(cx, cy);
    ink.lineTo(cx, cy + dy * arm);
  }
  ink.stroke();
  const label = Number(track) ? `track ${track} · ${state}` : state;
  write(ink, label, x + 1, y > 22 ? y - 9 : y + 19, ink.strokeStyle);
}

function drawTrail(ink, width, height, trail) {
  while (trail.length > 1 && !fresh(trail[0])) trail.shift(); // the last point stays
  ink.strokeStyle = theme.gaze;
  ink.lineWidth = 2;
  ink.lineCap = "round";
  trail.slice(1).forEach((to, index) => {
    const from = trail[index];
    ink.globalAlpha = 0.6 * Math.max(0, 1 - (performance.now() - to.at) / TRAIL_MS);
    ink.beginPath();
    ink.moveTo(from.x * width, from.y * height);
    ink.lineTo(to.x * width, to.y * height);
    ink.stroke();
  });
  ink.globalAlpha = 1;
}

function drawGaze(ink, x, y) {
  for (const [colour, line] of [[theme.plane, 6], [theme.gaze, 2.5]]) {
    Object.assign(ink, { strokeStyle: colour, lineWidth: line });
    ink.beginPath();
    ink.arc(x, y, 11, 0, 2 * Math.PI);
    ink.stroke();
  }
  ink.fillStyle = theme.gaze;
  ink.beginPath();
  ink.arc(x, y, 2.5, 0, 2 * Math.PI);
  ink.fill();
}

/** One bar for each of the last masks, the newest at the right. */
export function drawAges(ages) {
  const { ink, width, height } = fit(part("ages"));
  const top = Math.max(20, ...ages);
  const step = width / 120;
  ink.fillStyle = theme.roi;
  ages.forEach((age, index) => {
    const bar = Math.max(1, (height * age) / top);
    ink.globalAlpha = 0.35 + (0.65 * index) / ages.length;
    ink.fillRect(width - (ages.length - index) * step, height - bar, Math.max(1, step - 1), bar);
  });
}

readTheme();
