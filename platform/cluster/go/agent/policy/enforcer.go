package policy

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	networklisters "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/tools/cache"
)

// How long an announced pod may take to show up in the agent's own view of the API.
const appears = 10 * time.Second

// Enforcer keeps the node's rules equal to what pods, namespaces and policies say.
type Enforcer struct {
	pods       corelisters.PodLister
	namespaces corelisters.NamespaceLister
	policies   networklisters.NetworkPolicyLister
	changed    chan struct{}

	mutex sync.Mutex
	// announced holds addresses that the API may not show yet, by the pod's UID.
	announced map[string]string
	loaded    string
}

// NewEnforcer watches through the factory's informers.
func NewEnforcer(factory informers.SharedInformerFactory) *Enforcer {
	enforcer := &Enforcer{
		pods:       factory.Core().V1().Pods().Lister(),
		namespaces: factory.Core().V1().Namespaces().Lister(),
		policies:   factory.Networking().V1().NetworkPolicies().Lister(),
		changed:    make(chan struct{}, 1),
		announced:  map[string]string{},
	}
	notice := func(any) {
		select {
		case enforcer.changed <- struct{}{}:
		default:
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: notice, UpdateFunc: func(_, new any) { notice(new) }, DeleteFunc: notice}
	for _, informer := range []cache.SharedIndexInformer{
		factory.Core().V1().Pods().Informer(),
		factory.Core().V1().Namespaces().Informer(),
		factory.Networking().V1().NetworkPolicies().Informer(),
	} {
		_, _ = informer.AddEventHandler(handler)
	}
	return enforcer
}

// Run loads the rules after every change until the context ends.
func (e *Enforcer) Run(ctx context.Context) {
	for {
		if err := e.load(ctx); err != nil {
			log.Printf("network policies: %v", err)
		}
		select {
		case <-e.changed:
		case <-ctx.Done():
			return
		}
	}
}

// Serve answers the CNI plug-in until the context ends.
func (e *Enforcer) Serve(ctx context.Context, socket string) error {
	if err := os.RemoveAll(socket); err != nil {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /pods", func(w http.ResponseWriter, r *http.Request) {
		var pod Announcement
		err := json.NewDecoder(r.Body).Decode(&pod)
		if err == nil {
			err = e.admit(r.Context(), pod)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	server := &http.Server{Handler: mux}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.Serve(listener); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// admit returns once the rules for a pod that is about to start are in place.
func (e *Enforcer) admit(ctx context.Context, pod Announcement) error {
	deadline, cancel := context.WithTimeout(ctx, appears)
	defer cancel()
	for !e.knows(pod) {
		select {
		case <-deadline.Done():
			return fmt.Errorf("pod %s/%s (%s) is not in the API", pod.Namespace, pod.Name, pod.UID)
		case <-time.After(20 * time.Millisecond):
		}
	}
	e.mutex.Lock()
	for uid, ip := range e.announced {
		if ip == pod.IP {
			delete(e.announced, uid)
		}
	}
	e.announced[pod.UID] = pod.IP
	e.mutex.Unlock()
	return e.load(ctx)
}

func (e *Enforcer) knows(announced Announcement) bool {
	pod, err := e.pods.Pods(announced.Namespace).Get(announced.Name)
	return err == nil && string(pod.UID) == announced.UID
}

func (e *Enforcer) load(ctx context.Context) error {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	view, err := e.view()
	if err != nil {
		return err
	}
	rules := Ruleset(view)
	if rules == e.loaded {
		return nil
	}
	command := exec.CommandContext(ctx, "nft", "-f", "-")
	command.Stdin = strings.NewReader(rules)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, output)
	}
	e.loaded = rules
	return nil
}

// view is what the rules are made of: pods with their addresses, namespaces, policies.
func (e *Enforcer) view() (View, error) {
	view := View{Namespaces: map[string]labels.Set{}}
	pods, err := e.pods.List(labels.Everything())
	if err != nil {
		return view, err
	}
	namespaces, err := e.namespaces.List(labels.Everything())
	if err != nil {
		return view, err
	}
	if view.Policies, err = e.policies.List(labels.Everything()); err != nil {
		return view, err
	}
	for _, namespace := range namespaces {
		view.Namespaces[namespace.Name] = namespace.Labels
	}
	present := map[string]bool{}
	for _, pod := range pods {
		uid := string(pod.UID)
		present[uid] = true
		ended := pod.Status.Phase == v1.PodSucceeded || pod.Status.Phase == v1.PodFailed
		if pod.Spec.HostNetwork || ended {
			continue
		}
		ip := pod.Status.PodIP
		if announced, ok := e.announced[uid]; ok {
			ip = announced
		}
		if ip != "" {
			view.Pods = append(view.Pods, Pod{Pod: pod, IP: ip})
		}
	}
	for uid := range e.announced {
		if !present[uid] {
			delete(e.announced, uid)
		}
	}
	return view, nil
}
