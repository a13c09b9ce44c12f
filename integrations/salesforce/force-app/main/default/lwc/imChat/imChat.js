import { LightningElement, api, wire } from 'lwc';
import { CurrentPageReference } from 'lightning/navigation';
import { getFieldValue, getRecord } from 'lightning/uiRecordApi';
import { EnclosingUtilityId, open, updateUtility } from 'lightning/platformUtilityBarApi';
import CASE_GROUP from '@salesforce/schema/Case.IM_Group__c';
import openChat from '@salesforce/apex/ImAgent.open';

const CASE_PATTERN = /^500[a-zA-Z0-9]{12,15}$/;

/**
 * The chat page in a frame: in the utility bar all chats of the agent, at first that of
 * the case on screen; on the page of a case its own.
 */
export default class ImChat extends LightningElement {
  /** Set on a record page. */
  @api recordId;
  /** Of the utility bar: open it on a new message, in place of highlighting it. */
  @api openOnMessage = false;
  /** Of the utility bar: open it when a case is assigned to the agent. */
  @api openOnAssignment = false;

  @wire(EnclosingUtilityId) utilityId;

  address = '';
  error = '';
  caseOnScreen;
  group;
  page;
  token;
  unread = 0;

  @wire(CurrentPageReference)
  turned(reference) {
    const id = reference?.attributes?.recordId;
    this.caseOnScreen = CASE_PATTERN.test(id) ? id : undefined;
  }

  get caseId() {
    return this.recordId ?? this.caseOnScreen;
  }

  @wire(getRecord, { recordId: '$caseId', fields: [CASE_GROUP] })
  found({ data }) {
    if (data) {
      this.group = getFieldValue(data, CASE_GROUP);
      this.show();
    }
  }

  get hasNoChat() {
    return this.recordId !== undefined && this.group === null;
  }

  connectedCallback() {
    this.listener = (event) => this.heard(event);
    window.addEventListener('message', this.listener);
    this.load();
  }

  disconnectedCallback() {
    window.removeEventListener('message', this.listener);
  }

  async load() {
    this.error = '';
    try {
      const chat = await openChat();
      this.page = chat.page;
      this.token = chat.token;
      this.show();
    } catch (e) {
      this.error = e?.body?.message ?? 'The chat cannot be opened now.';
    }
  }

  /** What follows # reaches no server; the page takes a new one without loading anew. */
  show() {
    if (!this.token || this.hasNoChat) {
      return;
    }
    let fragment = `token=${encodeURIComponent(this.token)}`;
    if (this.group) {
      fragment += `&conversation=${encodeURIComponent(`GROUP${this.group}`)}`;
    }
    this.address = `${this.page}#${fragment}`;
  }

  /** The page tells of unread messages, of an assignment and of a token that has ended. */
  heard(event) {
    const frame = this.template.querySelector('iframe');
    if (!frame || event.source !== frame.contentWindow || event.origin !== new URL(this.page).origin) {
      return;
    }
    if (event.data?.backchannel === 'token') {
      this.load();
    } else if (event.data?.backchannel === 'unread' && Number.isInteger(event.data.count)) {
      this.counted(event.data.count);
    } else if (event.data?.backchannel === 'assigned') {
      this.assigned(String(event.data.conversation));
    }
  }

  /** A case's chat takes the agent in. What the agent reads or writes stays in sight. */
  async assigned(conversation) {
    if (!this.utilityId) {
      return;
    }
    if (!this.group && conversation.startsWith('GROUP')) {
      this.group = conversation.slice('GROUP'.length);
      this.show();
    }
    await updateUtility(this.utilityId, { highlighted: true });
    if (this.openOnAssignment) {
      await open(this.utilityId, { autoFocus: false });
    }
  }

  async counted(count) {
    const more = count > this.unread;
    this.unread = count;
    if (!this.utilityId) {
      return; // on the page of a record
    }
    await updateUtility(this.utilityId, { label: count ? `Chat (${count})` : 'Chat', highlighted: count > 0 });
    if (more && this.openOnMessage) {
      await open(this.utilityId, { autoFocus: false });
    }
  }
}
