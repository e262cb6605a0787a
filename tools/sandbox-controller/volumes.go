package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// provisionerName is what a StorageClass of the sandbox names.
const provisionerName = "sandbox.switchyard.dev/local"

// volumes makes and removes the folders behind local PersistentVolumes.
type volumes struct {
	client kubernetes.Interface
	folder string
}

func provisionVolumes(ctx context.Context, client kubernetes.Interface, folder string) {
	controller.NewProvisionController(ctx, client, provisionerName, volumes{client, folder},
		controller.LeaderElection(false),
		controller.FailedProvisionThreshold(0),
		controller.FailedDeleteThreshold(0),
		controller.RateLimiter(workqueue.NewTypedItemExponentialFailureRateLimiter[string](time.Second, 15*time.Second)),
	).Run(ctx)
}

// Provision makes the folder <volumes>/<volume>, owned by root and closed to writers, so that a pod which forgets
// its fsGroup fails here as it would with a cloud's disk, and a volume that only the selected node may use.
func (v volumes) Provision(
	_ context.Context, o controller.ProvisionOptions,
) (*core.PersistentVolume, controller.ProvisioningState, error) {
	if o.SelectedNodeName == "" {
		return nil, controller.ProvisioningFinished,
			fmt.Errorf("the storage class %s must have volumeBindingMode WaitForFirstConsumer", o.StorageClass.Name)
	}
	for _, mode := range o.PVC.Spec.AccessModes {
		if mode == core.ReadWriteMany || mode == core.ReadOnlyMany {
			return nil, controller.ProvisioningFinished, fmt.Errorf("%s: a local volume belongs to one node", mode)
		}
	}
	path := filepath.Join(v.folder, o.PVName)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	// MkdirAll obeys the umask.
	if err := os.Chmod(path, 0o755); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	return localVolume(o, path), controller.ProvisioningFinished, nil
}

func localVolume(o controller.ProvisionOptions, path string) *core.PersistentVolume {
	onNode := core.NodeSelectorRequirement{
		Key: core.LabelHostname, Operator: core.NodeSelectorOpIn, Values: []string{o.SelectedNodeName},
	}
	reclaim := core.PersistentVolumeReclaimDelete
	if o.StorageClass.ReclaimPolicy != nil {
		reclaim = *o.StorageClass.ReclaimPolicy
	}
	return &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: o.PVName},
		Spec: core.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: reclaim,
			AccessModes:                   o.PVC.Spec.AccessModes,
			VolumeMode:                    o.PVC.Spec.VolumeMode,
			Capacity: core.ResourceList{
				core.ResourceStorage: o.PVC.Spec.Resources.Requests[core.ResourceStorage],
			},
			PersistentVolumeSource: core.PersistentVolumeSource{Local: &core.LocalVolumeSource{Path: path}},
			NodeAffinity: &core.VolumeNodeAffinity{Required: &core.NodeSelector{
				NodeSelectorTerms: []core.NodeSelectorTerm{
					{MatchExpressions: []core.NodeSelectorRequirement{onNode}},
				},
			}},
		},
	}
}

// Delete removes the volume's folder. The volume of a node that does not answer stays until the node is back, as its
// disk would; that of a node which was taken out of the cluster goes.
func (v volumes) Delete(ctx context.Context, volume *core.PersistentVolume) error {
	if volume.Spec.Local == nil || filepath.Dir(volume.Spec.Local.Path) != filepath.Clean(v.folder) {
		return &controller.IgnoredError{Reason: "the volume is not in " + v.folder}
	}
	name := volume.Spec.NodeAffinity.Required.NodeSelectorTerms[0].MatchExpressions[0].Values[0]
	node, err := v.client.CoreV1().Nodes().Get(ctx, name, meta.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	if err == nil && !ready(node) {
		return fmt.Errorf("node %s is not ready: the volume is removed when it is back", name)
	}
	return os.RemoveAll(volume.Spec.Local.Path)
}

func ready(node *core.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == core.NodeReady {
			return condition.Status == core.ConditionTrue
		}
	}
	return false
}
