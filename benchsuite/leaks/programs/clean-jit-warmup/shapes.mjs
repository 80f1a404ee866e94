const kinds = Array.from({ length: 40 }, (_, i) => `kind${i}`);

/** Makers of shapes whose objects have different fields in a different order. */
export const shapes = kinds.map((kind, index) => (a, b) => {
  const shape = index % 2 === 0 ? { kind, a, b } : { b, a, kind };
  if (index % 3 === 0) shape.scale = 1.5;
  if (index % 5 === 0) shape.rounded = index;
  if (index % 7 === 0) shape[`mark${index}`] = true;
  return shape;
});

export function area(shape) {
  const scale = shape.scale ?? 1;
  return shape.a * shape.b * scale * scale - (shape.rounded ?? 0) / 100;
}

export function perimeter(shape) {
  return 2 * (shape.a + shape.b) * (shape.scale ?? 1);
}
