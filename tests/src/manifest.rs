//! What every tutorial begins with.

/// A Deployment of three web servers and a Service of type LoadBalancer before them.
pub const MANIFEST: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: my-deployment}
spec:
  replicas: 3
  selector: {matchLabels: {app: my-app}}
  template:
    metadata: {labels: {app: my-app}}
    spec:
      containers:
      - name: my-container
        image: my-image:latest
        ports: [{containerPort: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: my-service}
spec:
  selector: {app: my-app}
  ports: [{protocol: TCP, port: 80, targetPort: 80}]
  type: LoadBalancer
"#;
