function* tokens(text) {
  for (const [token] of text.matchAll(/\d+(?:\.\d+)?|[a-z]+|[-+*/()]/g)) yield token;
}

function parse(text) {
  const input = [...tokens(text)];
  let position = 0;

  function atom() {
    const token = input[position++];
    if (token === '(') {
      const inner = sum();
      position += 1;
      return inner;
    }
    return /^[a-z]/.test(token) ? { name: token } : { value: Number(token) };
  }

  function binary(next, operators) {
    let left = next();
    while (operators.includes(input[position])) {
      const operator = input[position++];
      left = { operator, left, right: next() };
    }
    return left;
  }

  const product = () => binary(atom, ['*', '/']);
  const sum = () => binary(product, ['+', '-']);
  return sum();
}

const operations = {
  '+': (a, b) => a + b,
  '-': (a, b) => a - b,
  '*': (a, b) => a * b,
  '/': (a, b) => (b === 0 ? 0 : a / b),
};

function run(node, variables) {
  if (node.operator) return operations[node.operator](run(node.left, variables), run(node.right, variables));
  return node.name ? (variables[node.name] ?? 0) : node.value;
}

export function evaluate(text, variables) {
  return run(parse(text), variables);
}
