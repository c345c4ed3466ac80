package policy

import (
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	network "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Table is the nftables table that holds the rules and nothing else.
const Table = "rlgen-policy"

// Pod is a pod on the node's network with the address it has.
type Pod struct {
	*v1.Pod
	IP string
}

// View is all that the rules depend on.
type View struct {
	Pods       []Pod
	Namespaces map[string]labels.Set
	Policies   []*network.NetworkPolicy
}

// direction is one of the two halves of a policy, with the words that differ between them.
type direction struct {
	kind network.PolicyType
	// own and peer are the packet's fields that hold the isolated pod's and the other side's address.
	own, peer string
	rules     func(*network.NetworkPolicy) []rule
}

type rule struct {
	ports []network.NetworkPolicyPort
	peers []network.NetworkPolicyPeer
}

var directions = []direction{
	{network.PolicyTypeIngress, "daddr", "saddr", func(p *network.NetworkPolicy) (rules []rule) {
		for _, one := range p.Spec.Ingress {
			rules = append(rules, rule{one.Ports, one.From})
		}
		return rules
	}},
	{network.PolicyTypeEgress, "saddr", "daddr", func(p *network.NetworkPolicy) (rules []rule) {
		for _, one := range p.Spec.Egress {
			rules = append(rules, rule{one.Ports, one.To})
		}
		return rules
	}},
}

// Ruleset writes the whole table; nft replaces the one before in one transaction.
//
// Packets pass it after kube-proxy has turned service addresses into pods'. Traffic between pods is forwarded and sees
// both directions; traffic to the node itself is input and sees egress. What the node sends is never held back: kubelet
// must reach its pods.
func Ruleset(view View) string {
	var chains strings.Builder
	jumps := map[network.PolicyType]string{}
	for _, direction := range directions {
		var elements []string
		for _, pod := range view.Pods {
			policies := selecting(view, pod, direction.kind)
			if len(policies) == 0 {
				continue
			}
			chain := strings.ToLower(string(direction.kind)) + "-" + pod.IP
			elements = append(elements, fmt.Sprintf("%s : jump %s", pod.IP, chain))
			fmt.Fprintf(&chains, "\tchain %s {\n\t\tcomment %q\n", chain, comment(pod))
			for _, line := range allowed(view, pod, policies, direction) {
				fmt.Fprintf(&chains, "\t\t%s return\n", line)
			}
			fmt.Fprintf(&chains, "\t\treject with icmp admin-prohibited\n\t}\n")
		}
		if len(elements) > 0 {
			jumps[direction.kind] = fmt.Sprintf("\t\tip %s vmap { %s }\n", direction.own, strings.Join(elements, ", "))
		}
	}
	answers := "\t\tct state established,related accept\n"
	return fmt.Sprintf("table ip %[1]s {}\ndelete table ip %[1]s\ntable ip %[1]s {\n%[2]s", Table, chains.String()) +
		"\tchain forward {\n\t\ttype filter hook forward priority filter;\n" +
		answers + jumps[network.PolicyTypeEgress] + jumps[network.PolicyTypeIngress] + "\t}\n" +
		"\tchain input {\n\t\ttype filter hook input priority filter;\n" +
		answers + jumps[network.PolicyTypeEgress] + "\t}\n}\n"
}

func comment(pod Pod) string {
	text := pod.Namespace + "/" + pod.Name
	return text[:min(len(text), 120)]
}

func selecting(view View, pod Pod, kind network.PolicyType) (policies []*network.NetworkPolicy) {
	for _, policy := range view.Policies {
		if policy.Namespace == pod.Namespace && slices.Contains(policy.Spec.PolicyTypes, kind) &&
			matches(&policy.Spec.PodSelector, pod.Labels) {
			policies = append(policies, policy)
		}
	}
	return policies
}

// allowed lists the packets that any of the policies lets through, as the left-hand sides of rules.
func allowed(view View, pod Pod, policies []*network.NetworkPolicy, direction direction) []string {
	var lines []string
	for _, policy := range policies {
		for _, rule := range direction.rules(policy) {
			for _, peer := range peers(view, policy.Namespace, rule.peers, direction.peer) {
				target := []Pod{pod}
				if direction.kind == network.PolicyTypeEgress {
					target = peer.pods
				}
				for _, port := range ports(rule.ports, target) {
					lines = append(lines, strings.TrimSpace(peer.match+" "+port))
				}
			}
		}
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

// side is the other end of allowed traffic: a match on its address, and the pods behind it where they are known.
type side struct {
	match string
	pods  []Pod
}

func peers(view View, namespace string, peers []network.NetworkPolicyPeer, field string) (sides []side) {
	if len(peers) == 0 {
		return []side{{match: "", pods: view.Pods}}
	}
	for _, peer := range peers {
		if peer.IPBlock != nil {
			match := fmt.Sprintf("ip %s %s", field, peer.IPBlock.CIDR)
			for _, except := range peer.IPBlock.Except {
				match += fmt.Sprintf(" ip %s != %s", field, except)
			}
			if !strings.Contains(peer.IPBlock.CIDR, ":") {
				sides = append(sides, side{match: match})
			}
			continue
		}
		for _, pod := range view.Pods {
			inNamespace := pod.Namespace == namespace
			if peer.NamespaceSelector != nil {
				inNamespace = matches(peer.NamespaceSelector, view.Namespaces[pod.Namespace])
			}
			if inNamespace && (peer.PodSelector == nil || matches(peer.PodSelector, pod.Labels)) {
				sides = append(sides, side{match: fmt.Sprintf("ip %s %s", field, pod.IP), pods: []Pod{pod}})
			}
		}
	}
	return sides
}

// ports are matches on the destination's port; a named one is looked up in the containers of the target pods.
func ports(ports []network.NetworkPolicyPort, targets []Pod) []string {
	if len(ports) == 0 {
		return []string{""}
	}
	var matches []string
	for _, port := range ports {
		protocol := v1.ProtocolTCP
		if port.Protocol != nil {
			protocol = *port.Protocol
		}
		name := strings.ToLower(string(protocol))
		switch {
		case port.Port == nil:
			matches = append(matches, "meta l4proto "+name)
		case port.EndPort != nil:
			matches = append(matches, fmt.Sprintf("%s dport %d-%d", name, port.Port.IntVal, *port.EndPort))
		case port.Port.StrVal != "":
			for _, number := range named(targets, port.Port.StrVal, protocol) {
				matches = append(matches, fmt.Sprintf("%s dport %d", name, number))
			}
		default:
			matches = append(matches, fmt.Sprintf("%s dport %d", name, port.Port.IntVal))
		}
	}
	return matches
}

func named(pods []Pod, name string, protocol v1.Protocol) (numbers []int32) {
	for _, pod := range pods {
		for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
			for _, port := range container.Ports {
				if port.Name == name && port.Protocol == protocol {
					numbers = append(numbers, port.ContainerPort)
				}
			}
		}
	}
	return numbers
}

func matches(selector *metav1.LabelSelector, set labels.Set) bool {
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && parsed.Matches(set)
}
