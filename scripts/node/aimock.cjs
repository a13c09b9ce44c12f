// A model by others for our client to ask: aimock, which compares itself with OpenAI's
// own API every day. node aimock.cjs prints the base URL and serves until its input ends;
// then it prints, as JSON, the bodies that it was asked with.
const { LLMock } = require('@copilotkit/aimock');

async function main() {
  const mock = new LLMock({ host: '127.0.0.1', port: 0, strict: true, chunkSize: 7 });
  mock.onMessage('hello', { content: 'Hello, and welcome: 你好 👋', usage: { prompt_tokens: 19, completion_tokens: 10, total_tokens: 29 } });
  mock.on({ userMessage: 'look', hasToolResult: false }, {
    toolCalls: [{ id: 'call_1', name: 'look', arguments: { q: 'the whole page' } }, { id: 'call_2', name: 'see', arguments: {} }],
    usage: { prompt_tokens: 7, completion_tokens: 5, total_tokens: 12 },
  });
  mock.on({ toolCallId: 'call_2', toolResultContains: 'a page' }, { content: 'It says so.' });
  mock.on({ userMessage: 'both', hasToolResult: false }, { content: 'One moment.', toolCalls: [{ id: 'call_3', name: 'look', arguments: {} }] });
  mock.on({ userMessage: 'busy', sequenceIndex: 0 }, { error: { message: 'slow down', type: 'rate_limit_error', code: 'rate_limit_exceeded' }, status: 429, retryAfter: 7 });
  mock.on({ userMessage: 'busy' }, { content: 'Now.' });
  mock.onMessage('forbidden', { error: { message: 'no such key', type: 'invalid_request_error', code: 'invalid_api_key' }, status: 401 });
  mock.onMessage('cut', { content: 'This goes on and on and on.' }, { truncateAfterChunks: 3, latency: 20 });
  mock.onMessage('filter', { content: 'I', finishReason: 'content_filter' });
  const address = await mock.start();
  console.log(`${address}/v1`);
  process.stdin.resume().on('end', async () => {
    const asked = mock.getRequests().map((r) => r.body);
    await mock.stop();
    console.log(JSON.stringify(asked));
  });
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
