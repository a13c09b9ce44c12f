package once

import (
	"context"
	"errors"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
)

// C2C sends a one-to-one message once. m.From is required; m.MsgSeq and
// m.MsgRandom are taken from the event. An answer found in the history has no
// MsgID. Errors are those of [im.Client.SendMsg] and of the store, ErrUnknown and
// ErrInvalid.
func (s *Sender) C2C(ctx context.Context, event string, m im.C2CMsg) (im.C2CSent, error) {
	m.MsgSeq, m.MsgRandom = im.Numbers(event)
	return deliver(ctx, s, kind[im.C2CMsg, im.C2CSent]{"c2c", s.client.SendMsg, s.findC2C}, event, m.From, m)
}

// Group sends a message to a group once. m.From is required; m.Random is taken
// from the event. Errors are those of [im.Client.SendGroupMsg] and of the store,
// ErrUnknown and ErrInvalid.
func (s *Sender) Group(ctx context.Context, event string, m im.GroupMsg) (im.GroupSent, error) {
	_, m.Random = im.Numbers(event)
	return deliver(ctx, s, kind[im.GroupMsg, im.GroupSent]{"group", s.client.SendGroupMsg, s.findGroup}, event, m.From, m)
}

// Broadcast sends a message to all AVChatRooms once and returns its MsgSeq. m.From
// is required; m.Random is taken from the event. Errors are those of
// [im.Client.SendBroadcastMsg] and of the store, ErrUnknown and ErrInvalid.
func (s *Sender) Broadcast(ctx context.Context, event string, m im.BroadcastMsg) (seq uint32, err error) {
	_, m.Random = im.Numbers(event)
	find := func(context.Context, im.BroadcastMsg, time.Time) (uint32, bool, error) { return 0, false, errNoHistory }
	return deliver(ctx, s, kind[im.BroadcastMsg, uint32]{"broadcast", s.client.SendBroadcastMsg, find}, event, m.From, m)
}

// findC2C looks through what the receiver sees: the sender's side may be without
// the message.
func (s *Sender) findC2C(ctx context.Context, m im.C2CMsg, since time.Time) (answer im.C2CSent, found bool, err error) {
	if m.OnlineOnly {
		return answer, false, errNoHistory
	}
	q := &im.C2CHistoryQuery{Viewer: m.To, Peer: m.From, From: since.Add(-slack).Unix(), To: since.Add(Window + slack).Unix()}
	for q != nil {
		page, err := s.client.C2CHistory(ctx, *q)
		if err != nil {
			return answer, false, err
		}
		for _, h := range page.Messages {
			if h.From == m.From && h.MsgSeq == m.MsgSeq && h.MsgRandom == m.MsgRandom {
				return im.C2CSent{MsgTime: h.MsgTime, MsgKey: h.MsgKey}, true, nil
			}
		}
		q = page.Next
	}
	return answer, false, nil
}

// historyPages is how far back a group is looked through, in pages of 20.
const historyPages = 50

func (s *Sender) findGroup(ctx context.Context, m im.GroupMsg, since time.Time) (answer im.GroupSent, found bool, err error) {
	if m.OnlineOnly || len(m.To) > 0 {
		return answer, false, errNoHistory
	}
	first := since.Add(-slack).Unix()
	q := &im.GroupHistoryQuery{GroupID: m.GroupID, TopicID: m.TopicID}
	for range historyPages {
		page, err := s.client.GroupHistory(ctx, *q)
		if errors.Is(err, im.CodeNotAllowed) {
			return answer, false, errNoHistory // an AVChatRoom
		}
		if err != nil {
			return answer, false, err
		}
		for _, h := range page.Messages {
			if h.MsgTime < first {
				return answer, false, nil
			}
			if h.From == m.From && h.MsgRandom == m.Random {
				return im.GroupSent{MsgTime: h.MsgTime, MsgSeq: h.MsgSeq}, true, nil
			}
		}
		if page.Next == nil {
			return answer, false, nil
		}
		q = page.Next
	}
	return answer, false, errNoHistory
}
