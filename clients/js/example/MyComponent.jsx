import { useBackgroundJobs } from 'aiworkstation-client/react';

export function MyComponent() {
    const {
        jobs,
        triggerWorkflowJob,
        hasRunningJobs,
        isLoading
    } = useBackgroundJobs();

    const handleStartWorkflow = async () => {
        await triggerWorkflowJob({
            workflowName: 'My Workflow',
            workflowDescription: 'Does something useful',
            steps: [{ name: 'Analyze', description: 'Analyze the data' }],
            mode: 'Sales',
            modelId: 'gpt-4o',
        });
    };

    return (
        <div>
            {hasRunningJobs && <span>Jobs running...</span>}
            <button onClick={handleStartWorkflow}>Start Workflow</button>
        </div>
    );
}
