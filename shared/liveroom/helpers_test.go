package liveroom_test

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/liveroom"
	"github.com/backchannel-im/backchannel/shared/rulestest"
)

// attrChanged is the callback of a client that wrote attributes.
func attrChanged(groupID, operator string) callback.Event {
	return &callback.GroupAfterAttrChanged{Base: callback.Base{CallbackCommand: "Group.CallbackAfterGroupAttrChanged"}, GroupID: groupID, Type: im.AVRoom, Operator: operator, OptionType: "modify"}
}

func destroyed(groupID string) callback.Event {
	return &callback.GroupAfterDestroyed{Base: callback.Base{CallbackCommand: "Group.CallbackAfterGroupDestroyed"}, GroupID: groupID, Type: im.AVRoom}
}

func jsonOf(v any) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return b.String(), err
}

// opens2 creates a room of an id that was closed, under another key.
func (p *process) opens2(id string) liveroom.Room {
	p.Helper()
	room := rulestest.Into[liveroom.Room](p, p.do(server, "POST", "/rooms", `{"roomId":"`+id+`","name":"Second show","owner":"ann"}`, "open-"+id+"-anew"))
	p.work()
	return room
}

// afterSend is the callback of a delivered message.
func afterSend(groupID, from string, seq uint32, at time.Time, text string) callback.Event {
	return &callback.GroupAfterSendMsg{
		Base: callback.Base{CallbackCommand: "Group.CallbackAfterSendMsg"}, GroupID: groupID, Type: im.AVRoom, From: from,
		MsgSeq: seq, MsgTime: callback.Seconds(at.Unix()), MsgBody: im.Text(text),
	}
}
