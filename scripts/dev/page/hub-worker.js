// The hub in a SharedWorker: all tabs of a browser share one.
import { Hub } from "./hubcore.js";

const hub = new Hub();
self.onconnect = ({ ports: [port] }) => hub.accept(port);
