/** Notes what happens to cases that have a chat: assignment, closing, deletion. */
trigger ImCase on Case(after insert, after update, after delete, after undelete) {
  ImCaseChanges.handle(Trigger.operationType, Trigger.isDelete ? Trigger.old : Trigger.new, Trigger.oldMap);
}
