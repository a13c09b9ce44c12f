package lists

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// MaxImage bounds an image, in bytes: some million words.
const MaxImage = 64 << 20

// Ref names an image by its URL and checksum.
type Ref struct {
	URL    string `json:"url"`
	SHA256 string `json:"sha256"` // 64 hexadecimal digits, lower case
}

// ParseRef reads "https://host/path#sha256=HEX". Plain http is taken too: the
// checksum, not the connection, authenticates the image. Errors do not repeat the URL,
// whose query may be a signature.
func ParseRef(text string) (Ref, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return Ref{}, errors.New("an image is named by https://HOST/PATH#sha256=HEX")
	}
	sum, found := strings.CutPrefix(u.Fragment, "sha256=")
	if b, err := hex.DecodeString(sum); !found || err != nil || len(b) != sha256.Size {
		return Ref{}, errors.New("the URL of an image ends with #sha256= and 64 hexadecimal digits; scripts/rulec compile prints them")
	}
	u.Fragment = ""
	return Ref{URL: u.String(), SHA256: strings.ToLower(sum)}, nil
}

// String returns the form that ParseRef reads.
func (r Ref) String() string { return r.URL + "#sha256=" + r.SHA256 }

// client follows no redirect: the URL that an operator gave is the one asked.
var client = &http.Client{
	Timeout:       30 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// Fetch gets an image over HTTP. It returns an error for an answer other than
// 200, for more than MaxImage bytes and for another checksum.
func Fetch(ctx context.Context, r Ref) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL, nil)
	if err != nil {
		return "", errors.New("the URL of the image cannot be asked")
	}
	res, err := client.Do(req)
	if err != nil {
		var asked *url.Error // names the URL, query and all
		if errors.As(err, &asked) {
			err = asked.Err
		}
		return "", fmt.Errorf("the image cannot be fetched: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the image cannot be fetched: its server answers %d", res.StatusCode)
	}
	var image strings.Builder
	if res.ContentLength > 0 && res.ContentLength <= MaxImage {
		image.Grow(int(res.ContentLength))
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(&image, sum), io.LimitReader(res.Body, MaxImage+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("the image came to an end before its time: %w", err)
	case n > MaxImage:
		return "", fmt.Errorf("the image is larger than %d bytes", MaxImage)
	case hex.EncodeToString(sum.Sum(nil)) != r.SHA256:
		return "", errors.New("the image is not the one that its checksum names")
	}
	return image.String(), nil
}
