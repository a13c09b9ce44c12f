// Drives a server with OpenAI's own library: node model.cjs BASE_URL
// Prints one JSON document of what it got.
const OpenAI = require('openai').default;

async function main() {
  const client = new OpenAI({ baseURL: process.argv[2], apiKey: 'key', maxRetries: 0 });
  const messages = [{ role: 'user', content: 'hello there' }];
  const whole = await client.chat.completions.create({ model: 'm', messages });
  const parts = await client.chat.completions.create({
    model: 'm',
    messages: [{ role: 'user', content: [{ type: 'text', text: 'in ' }, { type: 'text', text: 'parts' }] }],
  });
  const stream = await client.chat.completions.create({ model: 'm', messages, stream: true, stream_options: { include_usage: true } });
  const pieces = [];
  let usage = null;
  for await (const chunk of stream) {
    if (chunk.choices.length > 0) pieces.push(chunk.choices[0].delta.content ?? '');
    usage = chunk.usage ?? usage;
  }
  // The library's own accumulator puts the pieces of calls together.
  const tools = [{ type: 'function', function: { name: 'look', parameters: { type: 'object' } } }];
  const calling = { model: 'm', messages: [{ role: 'user', content: 'look' }], tools };
  const called = ({ choices: [{ message, finish_reason }] }) => `${finish_reason}: ${message.tool_calls.map((c) => `${c.id} ${c.type} ${c.function.name}(${c.function.arguments})`).join(', ')}`;
  const calls = called(await client.chat.completions.create(calling));
  const streamedCalls = called(await client.chat.completions.stream(calling).finalChatCompletion());
  let failed = null;
  try {
    await client.chat.completions.create({ model: 'm', messages: [{ role: 'user', content: 'fail' }] });
  } catch (error) {
    failed = { status: error.status, code: error.code, type: error.type };
  }
  console.log(JSON.stringify({
    object: whole.object, model: whole.model, text: whole.choices[0].message.content, total: whole.usage.total_tokens,
    parts: parts.choices[0].message.content, streamed: pieces.join(''), pieces: pieces.length, streamTotal: usage.total_tokens, calls, streamedCalls, failed,
  }));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
