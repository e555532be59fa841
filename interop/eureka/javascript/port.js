// The suite connects to localhost:8080; this leads there whichever port the registry has.
const net = require('net');

const registry = new URL(process.env.EUREKA_URL);
const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function redirected(...parameters) {
  const options = Array.isArray(parameters[0]) ? parameters[0][0] : parameters[0];
  if (options && Number(options.port) === 8080) {
    options.host = registry.hostname;
    options.port = registry.port;
  }
  return connect.apply(this, parameters);
};
