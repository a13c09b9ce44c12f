package usersig

import (
	"errors"
	"math"
	"time"

	"github.com/tencentyun/tls-sig-api-v2-golang/tencentyun"
)

// Privilege is a set of a user's rights in a TRTC room (trtc.io 35157).
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
// number, where the app has "advanced permission control" switched on. The key
// counts from the machine's own clock and lasts for expire, in whole seconds.
// Errors are ErrUserID, ErrExpire and ErrRoom. It is safe for concurrent use.
//
// Tencent's library signs the key: issuing one for each user who enters a room is no
// hot path.
func (s *Signer) PrivateMapKey(userID string, room uint32, may Privilege, expire time.Duration) (string, error) {
	if room == 0 {
		return "", ErrRoom
	}
	if err := checkPrivateMapKey(userID, expire); err != nil {
		return "", err
	}
	return tencentyun.GenPrivateMapKey(int(s.appID), string(s.key), userID, int(expire/time.Second), room, uint32(may))
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
	if err := checkPrivateMapKey(userID, expire); err != nil {
		return "", err
	}
	return tencentyun.GenPrivateMapKeyWithStringRoomID(int(s.appID), string(s.key), userID, int(expire/time.Second), room, uint32(may))
}

// checkPrivateMapKey refuses what the library would sign all the same, wrongly.
func checkPrivateMapKey(userID string, expire time.Duration) error {
	if err := CheckUserID(userID); err != nil {
		return err
	}
	if expire < MinExpire || expire > MaxExpire {
		return ErrExpire
	}
	if time.Now().Add(expire).Unix() > math.MaxUint32 {
		return ErrRoom // the key holds its end in 32 bits
	}
	return nil
}
