import { createElement } from 'lwc';
import { CurrentPageReference } from 'lightning/navigation';
import { getRecord } from 'lightning/uiRecordApi';
import { EnclosingUtilityId, open, updateUtility } from 'lightning/platformUtilityBarApi';
import openChat from '@salesforce/apex/ImAgent.open';
import ImChat from 'c/imChat';

jest.mock('@salesforce/apex/ImAgent.open', () => ({ default: jest.fn() }), { virtual: true });

const PAGE = 'https://im.example.com/chat/agent.html';
const CASE = '500xx0000000001AAC';
const settled = () => new Promise((resolve) => setTimeout(resolve, 0));

function made(properties) {
  const element = createElement('c-im-chat', { is: ImChat });
  Object.assign(element, properties);
  document.body.appendChild(element);
  return element;
}

const frame = (element) => element.shadowRoot.querySelector('iframe');
const address = (element) => frame(element)?.src;

function tells(element, data, origin = 'https://im.example.com', source = frame(element).contentWindow) {
  window.dispatchEvent(Object.assign(new Event('message'), { data, origin, source }));
  return settled();
}

function inUtilityBar(element) {
  EnclosingUtilityId.emit('utility-1');
  return element;
}

function hasGroup(group) {
  getRecord.emit({ fields: { IM_Group__c: { value: group } } });
  return settled();
}

beforeEach(() => {
  openChat.mockResolvedValue({ page: PAGE, token: 'a+sig', expiresAt: '2026-12-01T00:00:00Z' });
});

afterEach(() => {
  document.body.replaceChildren();
  jest.clearAllMocks();
});

it('shows all chats of the agent without a case', async () => {
  const element = inUtilityBar(made());
  await settled();
  expect(address(element)).toBe(`${PAGE}#token=a%2Bsig`);
});

it('turns to the chat of the case on screen', async () => {
  const element = inUtilityBar(made());
  CurrentPageReference.emit({ attributes: { recordId: CASE } });
  await hasGroup(CASE);
  expect(address(element)).toBe(`${PAGE}#token=a%2Bsig&conversation=GROUP${CASE}`);
  CurrentPageReference.emit({ attributes: { recordId: '001xx0000000001AAC' } });
  await settled();
  expect(address(element)).toContain(`GROUP${CASE}`);
});

it('says on the page of a case that there is no chat', async () => {
  const element = made({ recordId: CASE });
  await hasGroup(null);
  expect(frame(element)).toBeNull();
  expect(element.shadowRoot.textContent).toContain('no chat');
});

it('counts and highlights, and leaves the other utilities alone', async () => {
  const element = inUtilityBar(made());
  await settled();
  await tells(element, { backchannel: 'unread', count: 2, conversation: 'GROUPx' });
  expect(updateUtility).toHaveBeenLastCalledWith('utility-1', { label: 'Chat (2)', highlighted: true });
  await tells(element, { backchannel: 'unread', count: 0 });
  expect(updateUtility).toHaveBeenLastCalledWith('utility-1', { label: 'Chat', highlighted: false });
  expect(open).not.toHaveBeenCalled();
});

it('opens on a new message where that is set', async () => {
  const element = inUtilityBar(made({ openOnMessage: true }));
  await settled();
  await tells(element, { backchannel: 'unread', count: 1 });
  await tells(element, { backchannel: 'unread', count: 1 });
  await tells(element, { backchannel: 'unread', count: 0 });
  expect(open).toHaveBeenCalledTimes(1);
});

it('is highlighted on assignment, opens where that is set, and leaves the chat on screen', async () => {
  const element = inUtilityBar(made());
  await settled();
  await tells(element, { backchannel: 'assigned', conversation: `GROUP${CASE}` });
  expect(updateUtility).toHaveBeenLastCalledWith('utility-1', { highlighted: true });
  expect(open).not.toHaveBeenCalled();
  expect(address(element)).toContain(`conversation=GROUP${CASE}`);
  element.openOnAssignment = true;
  await tells(element, { backchannel: 'assigned', conversation: 'GROUPanother' });
  expect(open).toHaveBeenCalledTimes(1);
  expect(address(element)).toContain(`conversation=GROUP${CASE}`);
});

it('hears its own frame alone', async () => {
  const element = inUtilityBar(made());
  await settled();
  await tells(element, { backchannel: 'unread', count: 9 }, 'https://evil.example.com');
  await tells(element, { backchannel: 'unread', count: 9 }, 'https://im.example.com', window);
  await tells(element, { backchannel: 'unread', count: '<b>9</b>' });
  await tells(element, null);
  expect(updateUtility).not.toHaveBeenCalled();
});

it('signs in anew when the token has ended', async () => {
  const element = inUtilityBar(made());
  await settled();
  openChat.mockResolvedValue({ page: PAGE, token: 'another' });
  await tells(element, { backchannel: 'token' });
  expect(address(element)).toBe(`${PAGE}#token=another`);
});

it('says what is wrong and tries again', async () => {
  openChat.mockRejectedValueOnce({ body: { message: 'You are not among the agents of the chat.' } });
  const element = made();
  await settled();
  expect(element.shadowRoot.querySelector('[role=alert]').textContent).toContain('not among the agents');
  element.shadowRoot.querySelector('button').click();
  await settled();
  expect(address(element)).toContain('token=');
});

it('stops listening when it goes', async () => {
  const element = inUtilityBar(made());
  await settled();
  const source = frame(element).contentWindow;
  element.remove();
  window.dispatchEvent(Object.assign(new Event('message'), { data: { backchannel: 'unread', count: 1 }, origin: 'https://im.example.com', source }));
  await settled();
  expect(updateUtility).not.toHaveBeenCalled();
});
