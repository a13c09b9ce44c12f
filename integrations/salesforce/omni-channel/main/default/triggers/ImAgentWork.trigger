/** Lets an agent into the chat who accepts a case from Omni-Channel. */
trigger ImAgentWork on AgentWork(after insert, after update) {
  ImAgentWorkChanges.saved(Trigger.new, Trigger.oldMap);
}
