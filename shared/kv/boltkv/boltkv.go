// Package boltkv keeps state in one file of this machine, with bbolt: for one process,
// a laptop or a single server, and for tests that need a durable store without a
// server.
//
// [Open] locks the file for this process. Every write is on disk before it is
// acknowledged. Concurrent writers share one fsync, and a single writer never waits for
// others.
package boltkv

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/backchannel-im/backchannel/shared/kv"
)

// Engine opens "bolt:FILE".
var Engine = kv.Engine{
	Scheme: "bolt",
	Open: func(_ context.Context, url string) (kv.Store, error) {
		path, ok := strings.CutPrefix(url, "bolt:")
		if !ok || path == "" {
			return nil, errors.New("boltkv: the URL must be bolt:FILE, with the path of a file")
		}
		return Open(path, Options{})
	},
}

// Options adjusts a Store; use the zero value outside tests.
type Options struct {
	// Now is the clock that decides expiry and the horizon; nil is time.Now.
	Now func() time.Time
}

// format is the version of what the buckets hold. A file with a greater one is
// refused; a smaller one would be converted here.
const format = 1

// lockWait is how long Open waits for another process to let go of the file.
const lockWait = time.Second

// The buckets. A name within them is the partition, a NUL, and the key.
var (
	metaBucket    = []byte("boltkv")  // "format" -> decimal version
	itemBucket    = []byte("items")   // name -> item
	openBucket    = []byte("open")    // name -> segment with unsettled counts
	settledBucket = []byte("settled") // name -> segment kept for its seen ids
	expiryBucket  = []byte("expiry")  // second, kind, name -> nothing
	formatKey     = []byte("format")
)

// Store is a [kv.Store] in one file.
type Store struct {
	db  *bolt.DB
	now func() time.Time
	// phase, if set, is told how far a write has come; the crash test dies there.
	phase func(string)

	mu      sync.Mutex
	queue   []*request
	closed  bool
	wake    chan struct{} // holds at most one token: the queue has grown
	stopped chan struct{} // closed when the writer has gone
}

var _ kv.Store = (*Store)(nil)

// Open opens or creates the file at path and holds it exclusively until Close. It gives
// up after a second when another process holds the file, and refuses, without touching
// it, a file that is read-only, not boltkv's, or written in a newer format.
func Open(path string, o Options) (*Store, error) {
	return open(path, o, nil)
}

func open(path string, o Options, phase func(string)) (*Store, error) {
	fresh, err := inspect(path)
	if err != nil {
		return nil, err
	}
	if !fresh {
		if err := checkWhole(path); err != nil {
			return nil, err
		}
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: lockWait, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return nil, openError(path, err)
	}
	if fresh {
		err = create(db)
	}
	if err == nil {
		err = checkFormat(db, path)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Store{db: db, now: o.Now, phase: phase, wake: make(chan struct{}, 1), stopped: make(chan struct{})}
	go s.writer()
	return s, nil
}

// Close waits for the writes in flight, then releases the file. Calls after it fail
// with [kv.ErrUnavailable], and a second Close does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.signal()
	<-s.stopped
	return s.db.Close()
}

// inspect looks at the file before bbolt does, because bbolt's own errors do
// not say what to do, and because root may write a read-only file.
func inspect(path string) (fresh bool, err error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Stat(filepath.Dir(path)); err != nil {
			return false, fmt.Errorf("boltkv: the folder of the state file does not exist: create it: %w", err)
		}
		return true, nil
	case err != nil:
		return false, openError(path, err)
	case info.IsDir():
		return false, fmt.Errorf("boltkv: %s is a directory; name a file in it", path)
	case !info.Mode().IsRegular():
		return false, fmt.Errorf("boltkv: %s is not a regular file", path)
	case info.Mode().Perm()&0o222 == 0:
		return false, fmt.Errorf("boltkv: %s is read-only; make it writable or name another file", path)
	}
	return info.Size() == 0, nil
}

// checkWhole refuses a file that is shorter than it says. bbolt maps files into
// memory, so a page that is missing would end the process.
func checkWhole(path string) (err error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: lockWait, ReadOnly: true})
	if err != nil {
		return openError(path, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	info, err := os.Stat(path)
	if err != nil {
		return openError(path, err)
	}
	return db.View(func(tx *bolt.Tx) error {
		if info.Size() < tx.Size() {
			return fmt.Errorf("boltkv: %s is damaged: %d of its %d bytes are missing; restore a copy", path, tx.Size()-info.Size(), tx.Size())
		}
		return nil
	})
}

func create(db *bolt.DB) error {
	err := db.Update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{metaBucket, itemBucket, openBucket, settledBucket, expiryBucket} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		meta := tx.Bucket(metaBucket)
		if meta.Get(formatKey) != nil {
			return nil // another process was first
		}
		return meta.Put(formatKey, []byte(strconv.Itoa(format)))
	})
	if err != nil {
		return openError(db.Path(), err)
	}
	// The new name must be as durable as what will be acknowledged under it.
	dir, err := os.Open(filepath.Dir(db.Path()))
	if err != nil {
		return openError(db.Path(), err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func checkFormat(db *bolt.DB, path string) error {
	return db.View(func(tx *bolt.Tx) error {
		meta := tx.Bucket(metaBucket)
		if meta == nil {
			return fmt.Errorf("boltkv: %s belongs to another program; name another file", path)
		}
		v, err := strconv.Atoi(string(meta.Get(formatKey)))
		switch {
		case err != nil || v < 1:
			return fmt.Errorf("boltkv: %s is damaged: it has no format version; restore a copy", path)
		case v > format:
			return fmt.Errorf("boltkv: %s has format %d and this program knows up to %d; use the newer program", path, v, format)
		}
		return nil
	})
}

func openError(path string, err error) error {
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return fmt.Errorf("boltkv: another process holds %s; stop it, or give this one a file of its own", path)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("boltkv: %s cannot be written; make it writable or name another file: %w", path, err)
	case full(err):
		return fmt.Errorf("boltkv: the disk of %s is full: %w", path, err)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrVersionMismatch), errors.Is(err, bolterrors.ErrChecksum),
		strings.Contains(err.Error(), "file size too small"): // bbolt has no error of its own for it
		return fmt.Errorf("boltkv: %s is not a bolt file, or is damaged: restore a copy: %w", path, err)
	}
	return fmt.Errorf("boltkv: cannot open %s: %w", path, err)
}

// full reports that there was no room: on the disk, in the quota, or within the
// process's limit on file sizes. bbolt keeps only the text of the error when it
// cannot grow the file, which has no other cause.
func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) ||
		strings.HasPrefix(err.Error(), "file resize error")
}

func unavailable(err error) error {
	switch {
	case errors.Is(err, bolterrors.ErrDatabaseNotOpen):
		return fmt.Errorf("%w: the store is closed", kv.ErrUnavailable)
	case full(err):
		return fmt.Errorf("%w: the disk is full: %w", kv.ErrUnavailable, err)
	}
	return fmt.Errorf("%w: %w", kv.ErrUnavailable, err)
}
