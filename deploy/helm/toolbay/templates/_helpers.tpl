{{- define "toolbay.name" -}}
{{- if contains "toolbay" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-toolbay" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "toolbay.selector" -}}
app.kubernetes.io/name: toolbay
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "toolbay.labels" -}}
{{ include "toolbay.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "toolbay.image" -}}
{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- /* The pod of both Deployments. Takes root, component, image, resources, nodeSelector, tolerations. */ -}}
{{- define "toolbay.pod" -}}
{{- $values := .root.Values -}}
metadata:
  labels:
    {{- include "toolbay.selector" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
    {{- with $values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "toolbay.name" .root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
  {{- with $values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    seccompProfile: {type: RuntimeDefault}
  containers:
    - name: toolbay
      image: {{ .image | quote }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args: [serve, --config, /etc/toolbay/toolbay.toml, --log-format, json]
      ports:
        - {name: http, containerPort: 8000, protocol: TCP}
      env:
        - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
        {{- with $values.env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      securityContext:
        readOnlyRootFilesystem: true
        allowPrivilegeEscalation: false
        capabilities: {drop: [ALL]}
      # Plugins that are compiled for the first time may take a while; the pod is not ready before.
      startupProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 1, failureThreshold: 60}
      livenessProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 3}
      readinessProbe: {httpGet: {path: /readyz, port: http}, periodSeconds: 2, timeoutSeconds: 2, failureThreshold: 1}
      resources:
        {{- toYaml .resources | nindent 8 }}
      volumeMounts:
        # Folders, no single files: a mount of a file would never see a change.
        - {name: config, mountPath: /etc/toolbay, readOnly: true}
        - {name: secrets, mountPath: /etc/toolbay-secrets, readOnly: true}
        - {name: cache, mountPath: /cache}
        - {name: tmp, mountPath: /tmp}
        {{- if $values.pluginsVolume }}
        - {name: plugins, mountPath: {{ $values.pluginsMountPath }}, readOnly: true}
        {{- end }}
  volumes:
    - {name: config, configMap: {name: {{ .configMap }}, optional: false}}
    - {name: secrets, secret: {secretName: {{ $values.secretName }}, optional: false, defaultMode: 0440}}
    - name: cache
      {{- toYaml $values.cacheVolume | nindent 6 }}
    - {name: tmp, emptyDir: {sizeLimit: 64Mi}}
    {{- if $values.pluginsVolume }}
    - name: plugins
      {{- toYaml $values.pluginsVolume | nindent 6 }}
    {{- end }}
  {{- if $values.topologySpread }}
  topologySpreadConstraints:
    {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "toolbay.selector" $.root | nindent 10 }}
          app.kubernetes.io/component: {{ $.component }}
    {{- end }}
  {{- end }}
  {{- with .nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
