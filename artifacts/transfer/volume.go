// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/durabledir"
	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/zstd"
)

// fetchVolume restores a volume from its object while the object arrives. The
// directory exists and is empty; after an error the caller empties it again.
// Files that it shares with other volumes are noted in links.
func fetchVolume(ctx context.Context, s bucket.Store, id artifacts.ID, part artifacts.Part, v job.Volume, node job.Cache, links *durabledir.Links, p *Meter) ([]string, error) {
	a, set, warning, err := openCached(ctx, s, id, part, node)
	if err != nil {
		return nil, fmt.Errorf("volume %q: %w", v.Name, err)
	}
	defer set.Close() // what it says of use is a hint
	defer a.Close()   // before, since it may be reading
	report, err := durabledir.Restore(ctx, &meteredReader{ctx: ctx, r: a, p: p}, v.Path, durabledir.RestoreOptions{MaxArchive: part.Size, Links: links})
	if checkErr := a.Check(); checkErr != nil && (err == nil || errors.Is(checkErr, errdefs.ErrDataLoss)) {
		err = checkErr
	}
	if err != nil {
		if errors.Is(err, errdefs.ErrDataLoss) {
			forgetObject(set, part)
		}
		return nil, fmt.Errorf("volume %q: %w", v.Name, err)
	}
	var warnings []string
	if warning != nil {
		warnings = append(warnings, fmt.Sprintf("volume %q: %v; not all that is fetched is kept", v.Name, warning))
	}
	for _, w := range report.Warnings {
		warnings = append(warnings, fmt.Sprintf("volume %q: %s", v.Name, w))
	}
	return warnings, nil
}

// An Archive is the tar stream of a volume on its way from a store. Its bytes
// are those of the snapshot only once Check says so.
type Archive interface {
	io.ReadCloser
	// Check reads what is left and says whether it all is the manifest's.
	Check() error
}

// OpenVolume opens the tar stream of a part that is a volume. The caller closes
// it.
func OpenVolume(ctx context.Context, s bucket.Store, id artifacts.ID, part artifacts.Part) (Archive, error) {
	if part.Encoding != artifacts.Chunks {
		return openArchive(ctx, s, id, part)
	}
	r, err := GetRecipe(ctx, s, part)
	if err != nil {
		return nil, err
	}
	return &chunkedArchive{NewStream(ctx, s, r)}, nil
}

// A chunkedArchive is checked chunk by chunk, against a recipe that was.
type chunkedArchive struct{ *Stream }

func (a *chunkedArchive) Check() error {
	_, err := io.Copy(io.Discard, a)
	return err
}

// A plainArchive is one object.
type plainArchive struct {
	object  io.ReadCloser
	stored  *hashReader
	decoder *zstd.Decoder
	plain   *hashReader
	part    artifacts.Part
	name    string // of the object, for errors
}

// openArchive opens the object of a part of encoding TarZstd. The caller closes the archive.
func openArchive(ctx context.Context, s bucket.Store, id artifacts.ID, part artifacts.Part) (*plainArchive, error) {
	return openArchiveTee(ctx, s, id, part, io.Discard)
}

// openArchiveTee is openArchive that also writes the object, as it is stored, to tee.
func openArchiveTee(ctx context.Context, s bucket.Store, id artifacts.ID, part artifacts.Part, tee io.Writer) (*plainArchive, error) {
	volume, ok := part.Durable()
	if !ok || part.Encoding != artifacts.TarZstd {
		return nil, fmt.Errorf("read volume: part %q has encoding %q: %w", part.Name, part.Encoding, errdefs.ErrNotImplemented)
	}
	key := artifacts.VolumeKey(id, volume)
	object, err := s.Get(ctx, key, 0, -1)
	if err != nil {
		return nil, lostIfGone(err)
	}
	return newPlainArchive(object, part, fmt.Sprintf("object %s in store %s", key, s), tee)
}

// newPlainArchive reads an object of the given name, which it owns.
func newPlainArchive(object io.ReadCloser, part artifacts.Part, name string, tee io.Writer) (a *plainArchive, err error) {
	a = &plainArchive{object: object, part: part, name: name}
	// One byte too many is enough to know that it is another object.
	a.stored = &hashReader{r: io.TeeReader(io.LimitReader(object, part.StoredSize+1), tee), h: sha256.New()}
	a.decoder, err = zstd.NewReader(a.stored, zstd.WithDecoderMaxWindow(maxTarWindow), zstd.WithDecoderConcurrency(2))
	if err != nil {
		object.Close()
		return nil, fmt.Errorf("read %s: %w", a.name, err)
	}
	a.plain = &hashReader{r: io.LimitReader(a.decoder, part.Size+1), h: sha256.New()}
	return a, nil
}

// Read returns bytes of the tar stream.
func (a *plainArchive) Read(p []byte) (int, error) {
	n, err := a.plain.Read(p)
	if a.plain.n > a.part.Size {
		return n, a.lost("it has more than %d bytes unpacked", a.part.Size)
	}
	if err != nil && !errors.Is(err, io.EOF) && isZstd(err) {
		return n, a.lost("%w", err)
	}
	return n, err
}

// Check reads what is left of the object and says whether it is the manifest's.
func (a *plainArchive) Check() error {
	_, plainErr := io.Copy(io.Discard, a)
	if plainErr != nil && !errors.Is(plainErr, errdefs.ErrDataLoss) {
		return plainErr
	}
	a.decoder.Close() // it may be reading ahead
	if _, err := io.Copy(io.Discard, a.stored); err != nil {
		return err
	}
	switch {
	case a.stored.n != a.part.StoredSize:
		return a.lost("its size is not the %d bytes that the manifest says", a.part.StoredSize)
	case artifacts.Digest(a.stored.h.Sum(nil)) != a.part.StoredDigest:
		return a.lost("its bytes are not those that the manifest names")
	case plainErr != nil:
		return plainErr
	case a.plain.n != a.part.Size || artifacts.Digest(a.plain.h.Sum(nil)) != a.part.Digest:
		return a.lost("unpacked it is not what the manifest names")
	}
	return nil
}

// Close ends the read.
func (a *plainArchive) Close() error {
	a.decoder.Close()
	return a.object.Close()
}

func (a *plainArchive) lost(format string, args ...any) error {
	return fmt.Errorf("read %s: %w: %w", a.name, fmt.Errorf(format, args...), errdefs.ErrDataLoss)
}

// isZstd tells an error of the decoder from one of the store or the context.
func isZstd(err error) bool {
	var own *bucket.Error
	return !errors.As(err, &own) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// emptyDir removes what is in dir, without following any link.
func emptyDir(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := root.RemoveAll(e.Name()); err != nil {
			return err
		}
	}
	return nil
}
