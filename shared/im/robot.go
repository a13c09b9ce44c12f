package im

import (
	"cmp"
	"context"
	"errors"
)

// Chatbots (269/89991, 1047/55281, 1047/55282, 1047/71131).

var (
	createRobot   = method{path: "openim_robot_http_svc/create_robot", repeat: harmless}
	getAllRobots  = method{path: "openim_robot_http_svc/get_all_robots", repeat: harmless}
	deleteRobot   = method{path: "openim_robot_http_svc/delete_robot", repeat: harmless}
	sendStreamMsg = method{path: "openim_robot_http_svc/send_stream_msg"} // a repeat would write the text twice
)

// Robot is a chatbot's account.
type Robot struct {
	UserID        string `json:"UserID"` // starts with RobotPrefix
	Nick          string `json:"Nick,omitempty"`
	FaceURL       string `json:"FaceUrl,omitempty"`
	SelfSignature string `json:"SelfSignature,omitempty"` // at most 500 bytes
}

// CreateRobot makes a chatbot's account, or updates it. An app has at most 20, and
// a deleted one counts: 10008 (269/89991).
func (c *Client) CreateRobot(ctx context.Context, r Robot) error {
	if !IsRobot(r.UserID) {
		return &FieldError{Field: "UserID", Problem: "must start with " + RobotPrefix}
	}
	if err := cmp.Or(
		neededUser("UserID", r.UserID), atMost("Nick", r.Nick, maxProfileText), atMost("FaceUrl", r.FaceURL, maxProfileText),
		atMost("SelfSignature", r.SelfSignature, maxProfileText),
	); err != nil {
		return err
	}
	return c.call(ctx, createRobot, r, nil)
}

// Robots lists the app's chatbots (1047/55282).
func (c *Client) Robots(ctx context.Context) ([]string, error) {
	var out struct {
		envelope
		RobotAccount []string `json:"Robot_Account"`
	}
	err := c.call(ctx, getAllRobots, struct{}{}, &out)
	return out.RobotAccount, err
}

// DeleteRobot ends a chatbot for good; its id does not become free (1047/55281).
func (c *Client) DeleteRobot(ctx context.Context, userID string) error {
	if err := neededUser("Robot_Account", userID); err != nil {
		return err
	}
	return c.call(ctx, deleteRobot, struct {
		UserID string `json:"Robot_Account"`
	}{userID}, nil)
}

// Rate is how many calls a second this client makes to one API at most, unless the
// API's page names another limit: its share of IM's 200.
func (c *Client) Rate() float64 { return float64(perAPI.n) * c.limits.share }

// StreamChunk is a piece of a one-to-one message that is written while its
// receiver reads.
type StreamChunk struct {
	From   string `json:"From_Account"` // a chatbot
	To     string `json:"To_Account"`
	Chunk  string `json:"Chunk"`            // what comes next
	MsgKey string `json:"MsgKey,omitempty"` // of the answer to the first piece; "" starts a message
	Finish bool   `json:"-"`                // the last piece
}

// SendStreamMsg writes the next piece of a message and returns the message's MsgKey.
// IM does not deduplicate pieces, so after a lost answer the text is unknown: end the
// message, or replace it by ModifyC2CMsg (1047/71131).
func (c *Client) SendStreamMsg(ctx context.Context, s StreamChunk) (msgKey string, err error) {
	if s.Chunk == "" && !s.Finish {
		return "", &FieldError{Field: "Chunk", Problem: "is missing"}
	}
	if err := cmp.Or(
		neededUser("From_Account", s.From), neededUser("To_Account", s.To), atMost("MsgKey", s.MsgKey, maxMsgKey),
		atMost("Chunk", s.Chunk, MaxMessage),
	); err != nil {
		return "", err
	}
	var out struct {
		envelope
		MsgKey string
	}
	if err := c.call(ctx, sendStreamMsg, struct {
		StreamChunk
		Finish int `json:"Finish,omitempty"`
	}{s, flag(s.Finish)}, &out); err != nil {
		return "", err
	}
	if out.MsgKey == "" && s.MsgKey == "" {
		return "", &Error{Command: sendStreamMsg.path, cause: errors.New("IM gave no MsgKey"), MayHaveWorked: true}
	}
	return cmp.Or(out.MsgKey, s.MsgKey), nil
}
