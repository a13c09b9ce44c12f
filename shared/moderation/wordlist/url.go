package wordlist

import (
	"context"
	"strconv"
	"strings"
)

// Bounds of an e-mail address (RFC 5321, 4.5.3.1), in bytes.
const (
	maxLocal = 64
	maxHost  = 255
)

// token is a row of bytes that an address may have, and where a URL begins in it,
// len(text) if none does.
type token struct {
	span
	web int
}

// inAddress reports whether text[start:end] lies within a URL or an e-mail
// address. A URL has a scheme of the web or begins with www.; what only looks
// like a host (f.u.c.k) is not a link.
func (s *scan) inAddress(start, end int) bool {
	for i := start; i < end; i++ {
		if !isURLByte(s.text[i]) {
			return false
		}
	}
	if start < s.token.start || start >= s.token.end {
		s.token = s.tokenAt(start)
	}
	return s.token.web <= start || inMail(s.text[s.token.start:s.token.end], start-s.token.start, end-s.token.start)
}

func (s *scan) tokenAt(at int) token {
	t := token{span{at, at + 1}, len(s.text)}
	for t.start > 0 && isURLByte(s.text[t.start-1]) {
		t.start--
	}
	for t.end < len(s.text) && isURLByte(s.text[t.end]) {
		t.end++
	}
	if i := webStart(s.text[t.start:t.end]); i >= 0 {
		t.web = t.start + i
	}
	s.spend((t.end - t.start) / 4)
	return t
}

// webStart returns where a URL starts in a token, -1 for nowhere.
func webStart(token string) int {
	for i := range len(token) {
		if first := token[i] | 0x20; first != 'h' && first != 'f' && first != 'w' || i > 0 && isWordByte(token[i-1]) {
			continue
		}
		for _, prefix := range [...]string{"https://", "http://", "ftp://", "www."} {
			if len(token)-i > len(prefix) && strings.EqualFold(token[i:i+len(prefix)], prefix) {
				return i
			}
		}
	}
	return -1
}

// inMail reports whether token[start:end] lies within an e-mail address.
func inMail(token string, start, end int) bool {
	if before := strings.LastIndexByte(token[max(0, start-maxHost-1):end], '@'); before >= 0 &&
		inMailAround(token, max(0, start-maxHost-1)+before, start, end) {
		return true
	}
	after := strings.IndexByte(token[end:min(len(token), end+maxLocal)], '@')
	return after >= 0 && inMailAround(token, end+after, start, end)
}

// inMailAround reports whether token[start:end] lies within the e-mail address
// around an @, which ends in a dot and two letters or more.
func inMailAround(token string, at, start, end int) bool {
	from, to := at, at+1
	for from > max(0, at-maxLocal) && (isWordByte(token[from-1]) || strings.IndexByte("._%+-", token[from-1]) >= 0) {
		from--
	}
	for to < min(len(token), at+1+maxHost) && (isWordByte(token[to]) || token[to] == '.' || token[to] == '-') {
		to++
	}
	host := strings.TrimRight(token[at+1:to], ".-")
	dot := strings.LastIndexByte(host, '.')
	return from < at && dot > 0 && len(host)-dot > 2 && !strings.ContainsAny(host[dot:], "0123456789-") &&
		from <= start && end <= at+1+len(host)
}

// encoded finds the words in percent-encoded text that rules want in addresses.
func (s *scan) encoded(ctx context.Context) error {
	var decoded []byte
	var at []int // where each byte of it was written
	for i := 0; i < len(s.text); {
		if b, ok := percent(s.text[i:]); ok {
			decoded, at = append(decoded, b), append(at, i)
			i += 3
			continue
		}
		decoded, at = append(decoded, s.text[i]), append(at, i)
		i++
	}
	if len(decoded) == len(s.text) {
		return nil
	}
	at = append(at, len(s.text))
	plain := scan{List: s.List, text: string(decoded), urlsOnly: true, left: s.left - len(decoded)/2}
	err := plain.all(ctx)
	for _, h := range plain.hits {
		if start, end := at[h.Start], at[h.End]; end-start > h.End-h.Start {
			s.hits = append(s.hits, Hit{start, end, h.Word})
		}
	}
	s.left = plain.left
	plain.release()
	return err
}

// percent decodes a percent-encoded byte.
func percent(s string) (byte, bool) {
	if len(s) < 3 || s[0] != '%' {
		return 0, false
	}
	b, err := strconv.ParseUint(s[1:3], 16, 8)
	return byte(b), err == nil
}

func isWordByte(b byte) bool {
	return 'a' <= b|0x20 && b|0x20 <= 'z' || '0' <= b && b <= '9'
}

func isURLByte(b byte) bool { return urlBytes[b] }

var urlBytes = func() (is [256]bool) {
	for b := range is {
		is[b] = isWordByte(byte(b)) || strings.IndexByte("-._~:/?#[]@!$&'()*+,;=%", byte(b)) >= 0
	}
	return is
}()
