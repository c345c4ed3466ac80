// Package volumes makes a folder of this node for every claim of its storage class, and removes it with the claim.
package volumes

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	storagelisters "k8s.io/client-go/listers/storage/v1"
	"k8s.io/client-go/tools/cache"
)

// Name is what a storage class names as its provisioner.
const Name = "rlgen-k8s.dev/folder"

const provisionedBy = "pv.kubernetes.io/provisioned-by"

// The scheduler says by it where a claim's first pod goes, and waits for the volume before it binds the pod.
const selectedNode = "volume.kubernetes.io/selected-node"

// Provisioner serves the storage classes that name it.
type Provisioner struct {
	client  kubernetes.Interface
	folder  string
	node    string
	classes storagelisters.StorageClassLister
	claims  corelisters.PersistentVolumeClaimLister
	volumes corelisters.PersistentVolumeLister
	changed chan struct{}
}

// NewProvisioner watches through the factory's informers.
func NewProvisioner(client kubernetes.Interface, factory informers.SharedInformerFactory, folder, node string) *Provisioner {
	core := factory.Core().V1()
	provisioner := &Provisioner{
		client:  client,
		folder:  folder,
		node:    node,
		classes: factory.Storage().V1().StorageClasses().Lister(),
		claims:  core.PersistentVolumeClaims().Lister(),
		volumes: core.PersistentVolumes().Lister(),
		changed: make(chan struct{}, 1),
	}
	notice := func(any) {
		select {
		case provisioner.changed <- struct{}{}:
		default:
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: notice, UpdateFunc: func(_, new any) { notice(new) }}
	for _, informer := range []cache.SharedIndexInformer{
		core.PersistentVolumeClaims().Informer(),
		core.PersistentVolumes().Informer(),
		factory.Storage().V1().StorageClasses().Informer(),
	} {
		_, _ = informer.AddEventHandler(handler)
	}
	return provisioner
}

// Run serves claims after every change until the context ends.
func (p *Provisioner) Run(ctx context.Context) {
	for {
		select {
		case <-p.changed:
		case <-ctx.Done():
			return
		}
		claims, _ := p.claims.List(labels.Everything())
		for _, claim := range claims {
			if err := p.provision(ctx, claim); err != nil {
				log.Printf("claim %s/%s: %v", claim.Namespace, claim.Name, err)
			}
		}
		volumes, _ := p.volumes.List(labels.Everything())
		for _, volume := range volumes {
			if err := p.reclaim(ctx, volume); err != nil {
				log.Printf("volume %s: %v", volume.Name, err)
			}
		}
	}
}

func (p *Provisioner) provision(ctx context.Context, claim *v1.PersistentVolumeClaim) error {
	if claim.Status.Phase != v1.ClaimPending || claim.Spec.VolumeName != "" || claim.Spec.StorageClassName == nil ||
		claim.Annotations[selectedNode] != p.node {
		return nil
	}
	class, err := p.classes.Get(*claim.Spec.StorageClassName)
	if err != nil || class.Provisioner != Name {
		return nil // an unknown class or another's: not ours to serve
	}
	name := "pvc-" + string(claim.UID)
	path := filepath.Join(p.folder, name)
	if err := os.MkdirAll(path, 0o777); err != nil {
		return err
	}
	// Whatever user a pod runs as may write, whatever the umask here is.
	if err := os.Chmod(path, 0o777); err != nil {
		return err
	}
	volume := &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{provisionedBy: Name}},
		Spec: v1.PersistentVolumeSpec{
			Capacity:                      v1.ResourceList{v1.ResourceStorage: claim.Spec.Resources.Requests[v1.ResourceStorage]},
			AccessModes:                   claim.Spec.AccessModes,
			StorageClassName:              class.Name,
			PersistentVolumeReclaimPolicy: *class.ReclaimPolicy,
			PersistentVolumeSource:        v1.PersistentVolumeSource{Local: &v1.LocalVolumeSource{Path: path}},
			ClaimRef: &v1.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim",
				Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
			NodeAffinity: &v1.VolumeNodeAffinity{Required: &v1.NodeSelector{NodeSelectorTerms: []v1.NodeSelectorTerm{{
				MatchExpressions: []v1.NodeSelectorRequirement{
					{Key: v1.LabelHostname, Operator: v1.NodeSelectorOpIn, Values: []string{p.node}},
				},
			}}}},
		},
	}
	_, err = p.client.CoreV1().PersistentVolumes().Create(ctx, volume, metav1.CreateOptions{})
	if errors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func (p *Provisioner) reclaim(ctx context.Context, volume *v1.PersistentVolume) error {
	ours := volume.Annotations[provisionedBy] == Name && volume.Spec.Local != nil
	if !ours || volume.Status.Phase != v1.VolumeReleased || volume.DeletionTimestamp != nil ||
		volume.Spec.PersistentVolumeReclaimPolicy != v1.PersistentVolumeReclaimDelete {
		return nil
	}
	if filepath.Dir(volume.Spec.Local.Path) != p.folder {
		return fmt.Errorf("%s does not lie in %s", volume.Spec.Local.Path, p.folder)
	}
	if err := os.RemoveAll(volume.Spec.Local.Path); err != nil {
		return err
	}
	err := p.client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, metav1.DeleteOptions{})
	if errors.IsNotFound(err) {
		return nil
	}
	return err
}
