// Painters of scenes: each takes a canvas context, its size, and `random(from, to)`.

export function sunset(context, width, height, random) {
  const horizon = height * random(0.5, 0.66);
  const hue = random(8, 34);
  const sun = { x: width * random(0.25, 0.75), y: horizon - random(-10, 70), radius: random(38, 62) };
  fill(context, 0, 0, width, horizon, [
    [0, `hsl(${hue + 215} 45% 32%)`], [0.55, `hsl(${hue - 18} 68% 58%)`], [1, `hsl(${hue + 22} 95% 68%)`],
  ]);
  for (let i = 0; i < 9; i++) {
    ellipse(context, random(0, width), horizon * random(0.1, 0.75), random(60, 170), random(3, 10),
      `hsl(${hue - 10} 75% ${random(60, 78)}% / 0.35)`);
  }
  context.save();
  context.beginPath();
  context.rect(0, 0, width, horizon);
  context.clip();
  circle(context, sun.x, sun.y, sun.radius * 1.9, `hsl(${hue + 24} 100% 72% / 0.35)`);
  circle(context, sun.x, sun.y, sun.radius, `hsl(${hue + 28} 100% 82%)`);
  context.restore();
  fill(context, 0, horizon, width, height - horizon, [
    [0, `hsl(${hue + 6} 60% 50%)`], [0.35, `hsl(${hue + 225} 35% 32%)`], [1, `hsl(${hue + 225} 45% 16%)`],
  ]);
  for (let y = horizon + 4; y < height; y += random(5, 11)) {
    const spread = 12 + (y - horizon) * 0.7;
    for (let i = 0; i < 5; i++) {
      ellipse(context, sun.x + random(-spread, spread), y, random(8, 46), random(1, 2.4),
        `hsl(${hue + 26} 100% 78% / ${random(0.25, 0.8)})`);
    }
  }
}

export function city(context, width, height, random) {
  const hue = random(222, 246);
  fill(context, 0, 0, width, height, [[0, `hsl(${hue} 55% 9%)`], [1, `hsl(${hue + 12} 42% 28%)`]]);
  for (let i = 0; i < 90; i++) {
    circle(context, random(0, width), random(0, height * 0.6), random(0.5, 1.5), "hsl(50 40% 92% / 0.8)");
  }
  circle(context, width * random(0.15, 0.85), height * random(0.12, 0.24), random(18, 30), "hsl(48 60% 90%)");
  for (const [reach, light] of [[0.62, 19], [0.5, 12], [0.36, 7]]) {
    for (let x = -random(0, 40); x < width; ) {
      const across = random(44, 92);
      const top = height - height * reach * random(0.55, 1.1);
      context.fillStyle = `hsl(${hue} 32% ${light}%)`;
      context.fillRect(x, top, across, height - top);
      windows(context, x, top, across, height, random);
      x += across + random(0, 10);
    }
  }
}

function windows(context, x, top, across, height, random) {
  for (let y = top + 10; y < height - 8; y += 15) {
    for (let at = x + 7; at < x + across - 10; at += 12) {
      if (random(0, 1) < 0.45) continue;
      context.fillStyle = `hsl(${random(38, 54)} 95% ${random(58, 78)}%)`;
      context.fillRect(at, y, 6, 8);
    }
  }
}

export function flowers(context, width, height, random) {
  const hue = random(88, 118);
  const petal = random(300, 400);
  fill(context, 0, 0, width, height, [[0, `hsl(${hue} 48% 46%)`], [1, `hsl(${hue + 10} 52% 24%)`]]);
  context.lineCap = "round";
  for (let i = 0; i < 700; i++) {
    const [x, y, length] = [random(0, width), random(0, height + 40), random(20, 64)];
    context.strokeStyle = `hsl(${hue + random(-14, 14)} ${random(40, 62)}% ${random(22, 50)}%)`;
    context.lineWidth = random(1.5, 3.5);
    context.beginPath();
    context.moveTo(x, y);
    context.quadraticCurveTo(x + random(-6, 6), y - length / 2, x + random(-20, 20), y - length);
    context.stroke();
  }
  for (let i = 0; i < 26; i++) {
    const y = height * (0.06 + 0.9 * (i / 25));
    flower(context, random(0, width), y, 12 + 26 * (y / height), petal + random(-16, 16), random);
  }
}

function flower(context, x, y, size, hue, random) {
  const petals = Math.round(random(6, 9));
  const turn = random(0, Math.PI);
  for (let i = 0; i < petals; i++) {
    const angle = turn + (2 * Math.PI * i) / petals;
    ellipse(context, x + Math.cos(angle) * size * 0.62, y + Math.sin(angle) * size * 0.62,
      size * 0.56, size * 0.3, `hsl(${hue} 82% ${random(66, 80)}%)`, angle);
  }
  circle(context, x, y, size * 0.34, "hsl(46 95% 56%)");
}

function fill(context, x, y, width, height, stops) {
  const gradient = context.createLinearGradient(0, y, 0, y + height);
  for (const [at, colour] of stops) gradient.addColorStop(at, colour);
  context.fillStyle = gradient;
  context.fillRect(x, y, width, height);
}

function circle(context, x, y, radius, colour) {
  ellipse(context, x, y, radius, radius, colour);
}

function ellipse(context, x, y, across, down, colour, turn = 0) {
  context.fillStyle = colour;
  context.beginPath();
  context.ellipse(x, y, across, down, turn, 0, 2 * Math.PI);
  context.fill();
}
