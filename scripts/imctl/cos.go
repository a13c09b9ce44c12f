package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the algorithm that COS prescribes
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// inline is how many bytes of zip one request of the API takes: a request signed
// with TC3 has at most 10 MB, of which base64 leaves three quarters. (The field
// itself takes 50 MB.)
const inline = (10<<20 - 64<<10) / 4 * 3

// bucket is a COS bucket that programs are uploaded to, since the API takes no
// larger ones itself.
type bucket struct {
	name, region   string // the name with its AppID
	endpoint       string // URL in place of COS's own, as of a fake on this machine
	id, key, token string
	now            func() time.Time
}

// object is where a program is in the bucket.
func (b bucket) object(hash string) string { return "/backchannel/" + hash + ".zip" }

// upload puts a program where [bucket.object] says. It may be repeated: the name is
// that of the bytes.
func (b bucket) upload(ctx context.Context, program []byte, hash string) error {
	at := "https://" + b.name + ".cos." + b.region + ".myqcloud.com"
	if b.endpoint != "" {
		at = strings.TrimSuffix(b.endpoint, "/")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, at+b.object(hash), bytes.NewReader(program))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/zip")
	if b.token != "" {
		r.Header.Set("X-Cos-Security-Token", b.token)
	}
	r.Header.Set("Authorization", b.authorization(r))
	long := http.Client{Timeout: 5 * time.Minute}
	resp, err := long.Do(r)
	if err != nil {
		return fmt.Errorf("upload to COS bucket %s: %w: COS was not reached: check the bucket's name, the region and the network", b.name, withoutURL(err))
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	code := between(string(text), "<Code>", "</Code>")
	switch {
	case resp.StatusCode == http.StatusOK:
		return nil
	case code == "NoSuchBucket":
		return fmt.Errorf("upload to COS bucket %s: there is no such bucket in %s: create it there, or correct -cos", b.name, b.region)
	case resp.StatusCode == http.StatusForbidden:
		return fmt.Errorf("upload to COS bucket %s: status 403 %s: the credentials may not do cos:PutObject there: add it to the sub-user's policy; docs/deploy-tencent.md has the whole policy", b.name, code)
	}
	return fmt.Errorf("upload to COS bucket %s: status %d %s", b.name, resp.StatusCode, code)
}

// authorization signs a request as COS's XML API asks (436/7778), for an hour. The
// host, the type and a temporary credential's token are signed.
func (b bucket) authorization(r *http.Request) string {
	now := b.now().Unix()
	period := fmt.Sprintf("%d;%d", now-60, now+3600)
	headers := [][2]string{{"content-type", r.Header.Get("Content-Type")}, {"host", r.URL.Host}}
	if token := r.Header.Get("X-Cos-Security-Token"); token != "" {
		headers = append(headers, [2]string{"x-cos-security-token", token})
	}
	names, pairs := make([]string, len(headers)), make([]string, len(headers))
	for i, h := range headers {
		names[i], pairs[i] = h[0], h[0]+"="+strings.ReplaceAll(url.QueryEscape(h[1]), "+", "%20")
	}
	request := strings.ToLower(r.Method) + "\n" + r.URL.Path + "\n\n" + strings.Join(pairs, "&") + "\n"
	sum := sha1.Sum([]byte(request)) //nolint:gosec // see above
	key := sha1MAC([]byte(b.key), period)
	return "q-sign-algorithm=sha1&q-ak=" + b.id + "&q-sign-time=" + period + "&q-key-time=" + period +
		"&q-header-list=" + strings.Join(names, ";") + "&q-url-param-list=&q-signature=" +
		sha1MAC([]byte(key), "sha1\n"+period+"\n"+hex.EncodeToString(sum[:])+"\n")
}

// sha1MAC is HMAC-SHA1 in hex.
func sha1MAC(key []byte, text string) string {
	h := hmac.New(sha1.New, key)
	h.Write([]byte(text))
	return hex.EncodeToString(h.Sum(nil))
}

// between returns what stands between two words of a text, "" without them.
func between(text, before, after string) string {
	_, text, _ = strings.Cut(text, before)
	text, _, found := strings.Cut(text, after)
	if !found {
		return ""
	}
	return text
}
