package knowledge

import (
	"encoding/binary"
	"hash/crc32"
)

// Resealed is an image with the right checksum, so that a fuzzer gets beyond it.
func Resealed(image []byte) string {
	if len(image) < len(magic)+4 {
		return string(image)
	}
	out := append([]byte(nil), image...)
	copy(out, magic)
	binary.LittleEndian.PutUint32(out[len(magic):], crc32.ChecksumIEEE(out[len(magic)+4:]))
	return string(out)
}

// PassagesOf returns all passages of a base.
func PassagesOf(b *Base) []Passage { return b.passages }
