// As many requests as a server answers: keep-alive connections with the next request sent as soon as an answer is there.
// usage: node load.cjs PORT CONNECTIONS; ends with its standard input.
const net = require('net');
const [port, connections] = process.argv.slice(2).map(Number);
const REQUEST = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n';
for (let n = 0; n < connections; n++) {
  const socket = net.connect(port, '127.0.0.1', () => socket.write(REQUEST)).setNoDelay(true);
  let rest = '';
  socket.on('data', (data) => {
    // The answers are small objects of JSON: one is whole when it ends with a brace.
    rest += data.toString('latin1');
    if (!rest.endsWith('}')) return;
    rest = '';
    socket.write(REQUEST);
  });
}
process.stdin.resume().on('end', () => process.exit());
