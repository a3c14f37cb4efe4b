// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"

	ateomv1 "github.com/ateom/ateom/proto/ateom/v1"
)

// ImageDigestAnnotation holds the digest of the image that a container was made from.
const ImageDigestAnnotation = "ateom.dev/image-digest"

// Images returns the digests of the images of all the sandbox's containers, by
// container id. Containers without an image, or whose image is gone, are left out.
func (s *Container) Images(ctx context.Context) (map[string]string, error) {
	status, err := s.Service.Status(ctx, &ateomv1.StatusRequest{Id: s.ID})
	if err != nil {
		return nil, errgrpc.ToNative(err)
	}
	images := make(map[string]string)
	for _, id := range status.GetContainers() {
		digest, err := s.imageDigest(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("find the image of container %q: %w", id, err)
		}
		if digest != "" {
			images[id] = digest
		}
	}
	return images, nil
}

// imageDigest prefers what was written down when the container was made: the
// image's name may mean another image by now.
func (s *Container) imageDigest(ctx context.Context, id string) (string, error) {
	container, err := s.Client.LoadContainer(ctx, id)
	if errdefs.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	spec, err := container.Spec(ctx)
	if err != nil {
		return "", err
	}
	if digest := spec.Annotations[ImageDigestAnnotation]; digest != "" {
		return digest, nil
	}
	info, err := container.Info(ctx, client.WithoutRefreshedMetadata)
	if err != nil || info.Image == "" {
		return "", err
	}
	image, err := s.Client.ImageService().Get(ctx, info.Image)
	if errdefs.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return image.Target.Digest.String(), nil
}
