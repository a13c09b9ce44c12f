package usersig

import (
	"encoding/binary"
	"errors"
	"math"
	"time"
)

// Privilege says what a user may do in a TRTC room (trtc.io 35157).
type Privilege uint32

// The privileges, and the usual sums of them.
const (
	CreateRoom    Privilege = 1
	EnterRoom     Privilege = 2
	SendAudio     Privilege = 4
	ReceiveAudio  Privilege = 8
	SendVideo     Privilege = 16
	ReceiveVideo  Privilege = 32
	SendScreen    Privilege = 64
	ReceiveScreen Privilege = 128

	Audience = EnterRoom | ReceiveAudio | ReceiveVideo
	Host     = CreateRoom | EnterRoom | SendAudio | ReceiveAudio | SendVideo | ReceiveVideo | SendScreen | ReceiveScreen
)

// MaxRoom is the length of a named TRTC room, in bytes.
const MaxRoom = 64

// ErrRoom: a TRTC room is a number from 1 or a name of 1 to 64 bytes, and the
// key must end before 2106.
var ErrRoom = errors.New("usersig: a room is a number other than 0, or a name of 1 to 64 bytes of ASCII")

// PrivateMapKey issues the key that lets a user into one TRTC room with a
// number, where the app has "advanced permission control" switched on.
func (s *Signer) PrivateMapKey(userID string, room uint32, may Privilege, expire time.Duration) (string, error) {
	if room == 0 {
		return "", ErrRoom
	}
	return s.privateMapKey(userID, room, "", may, expire)
}

// PrivateMapKeyForName is PrivateMapKey for a room with a name.
func (s *Signer) PrivateMapKeyForName(userID, room string, may Privilege, expire time.Duration) (string, error) {
	if room == "" || len(room) > MaxRoom {
		return "", ErrRoom
	}
	for i := range len(room) {
		if room[i] < ' ' || room[i] > '~' {
			return "", ErrRoom
		}
	}
	return s.privateMapKey(userID, 0, room, may, expire)
}

func (s *Signer) privateMapKey(userID string, room uint32, name string, may Privilege, expire time.Duration) (string, error) {
	if err := CheckUserID(userID); err != nil {
		return "", err
	}
	if expire < MinExpire || expire > MaxExpire {
		return "", ErrExpire
	}
	now := s.now().Unix()
	seconds := int64(expire / time.Second)
	if now+seconds > math.MaxUint32 {
		return "", ErrRoom
	}
	b := make([]byte, 0, 1+2+len(userID)+20+2+len(name))
	if name == "" {
		b = append(b, 0)
	} else {
		b = append(b, 1)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(userID)))
	b = append(b, userID...)
	b = binary.BigEndian.AppendUint32(b, s.appID)
	b = binary.BigEndian.AppendUint32(b, room)
	b = binary.BigEndian.AppendUint32(b, uint32(now+seconds))
	b = binary.BigEndian.AppendUint32(b, uint32(may))
	b = binary.BigEndian.AppendUint32(b, 0) // account type
	if name != "" {
		b = binary.BigEndian.AppendUint16(b, uint16(len(name)))
		b = append(b, name...)
	}
	w := s.pool.Get().(*scratch)
	defer s.pool.Put(w)
	return w.sign(s.appID, userID, now, seconds, b)
}
